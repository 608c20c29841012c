"""A new generation of a query whose checkpoint was put aside: it reads again what its state needs, and writes only
what the tables lack. `medallion checkpoint rebase` decides where it begins and keeps that in the database."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from fraud_domain.settings import Settings
from fraud_domain.streams import StreamSpec
from spark_jobs.plain_error import PlainError

_FIND = """
SELECT rebase_id, plan FROM fraud.checkpoint_rebases
WHERE stream = %s AND query = %s AND (generation = %s OR generation IS NULL) ORDER BY rebase_id DESC LIMIT 1
"""


class LostCheckpointError(PlainError):
    """A table has rows but the query that fills it has no checkpoint: starting would write them all again."""


@dataclass(frozen=True, slots=True)
class Rebase:
    """What the new generation knows: the largest offset by topic and partition that the tables may hold, and the time
    from which on rows of its source are read; None means all."""

    rebase_id: int
    known_to: dict[str, dict[str, int]]
    since: datetime | None = None

    def covers(self, topic: str, partition: int, offset: int) -> bool:
        """Whether a row at this position was written by the generation before."""
        return offset <= self.known_to.get(topic, {}).get(str(partition), -1)


def rebase_of(settings: Settings, stream: StreamSpec, query: str, generation: str | None) -> Rebase | None:
    """The rebase that a query's generation began with, if any; one not begun yet counts for it."""
    with psycopg.connect(**settings.postgres_parameters("fraud_writer"), autocommit=True) as connection:
        row = connection.execute(_FIND, (stream.name, query, generation)).fetchone()
    if row is None:
        return None
    rebase_id, plan = row
    # A plan of before November 2026 has no time: its generation is past the rows that it would leave out.
    since = plan.get("since")
    return Rebase(rebase_id, plan["known_to"], datetime.fromisoformat(since) if since else None)


def begun(settings: Settings, rebase: Rebase | None, generation: Any) -> None:
    """Record which generation took a rebase up."""
    if rebase is None:
        return
    with psycopg.connect(**settings.postgres_parameters("fraud_writer"), autocommit=True) as connection:
        connection.execute(
            "UPDATE fraud.checkpoint_rebases SET generation = %s WHERE rebase_id = %s AND generation IS NULL",
            (str(generation), rebase.rebase_id),
        )

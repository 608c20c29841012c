"""What is in quarantine, read from the lake without a JVM, and how often each message was sent again."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import psycopg

from fraud_domain.settings import Settings
from fraud_domain.tables import table
from medallion_services.errors import UserError
from medallion_services.lake_tables import open_table

QUARANTINE = table("silver.quarantine")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a message stands in Kafka, or in a loaded file."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One message with every reason. `attempts` is how often it was sent again."""

    position: Position
    kafka_timestamp: datetime
    reason: str
    errors: tuple[tuple[str, str, str], ...]
    value: bytes | None
    ingested_at: datetime
    attempts: int


def parse_position(text: str) -> Position:
    """`topic/partition/offset` as a position.

    Raises:
        UserError: it is none.
    """
    parts = text.rsplit("/", 2)
    if len(parts) != 3 or not (parts[1].isdigit() and parts[2].isdigit()):
        raise UserError(
            f"'{text}' is not a position such as transactions/0/4711; `medallion quarantine list` shows them"
        )
    return Position(parts[0], int(parts[1]), int(parts[2]))


def reasons(settings: Settings) -> list[tuple[str, str, int, datetime]]:
    """Topic, reason code, number of messages and the newest one, most frequent first."""
    query = "SELECT topic, reason_code, count(*), max(ingested_at) FROM quarantine GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
    found: list[tuple[str, str, int, datetime]] = _query(settings, query, {})
    return found


def messages(
    settings: Settings, reason: str = "", positions: tuple[Position, ...] = (), limit: int = 50
) -> list[Quarantined]:
    """Quarantined messages, newest first: those at `positions`, else of one reason code, else all.

    Raises:
        UserError: a position is not in quarantine.
    """
    query = """
        SELECT topic, partition, "offset", kafka_timestamp, reason_code, errors, value, ingested_at FROM quarantine
        WHERE ($reason = '' OR reason_code = $reason)
          AND (len($wanted) = 0 OR list_contains($wanted, concat_ws('/', topic, partition, "offset")))
        ORDER BY ingested_at DESC, topic, partition, "offset" LIMIT $limit
    """
    wanted = [str(position) for position in positions]
    rows = _query(settings, query, {"reason": reason, "wanted": wanted, "limit": len(wanted) or limit})
    attempts = _attempts(settings)
    found = []
    for topic, partition, offset, at, code, errors, value, ingested in rows:
        position = Position(topic, partition, offset)
        told = tuple((e["code"], e["field"], e["detail"]) for e in errors)
        found.append(Quarantined(position, at, code, told, value, ingested, attempts.get(position, 0)))
    missing = set(positions) - {each.position for each in found}
    if missing:
        raise UserError(f"not in quarantine: {', '.join(map(str, sorted(missing)))}")
    return found


def _query(settings: Settings, query: str, parameters: dict[str, Any]) -> list[Any]:
    quarantine = open_table(settings, QUARANTINE)
    if quarantine is None:
        raise UserError(
            f"there is no quarantine in {settings.lake_root} yet; the silver stream makes it when it starts"
        )
    with duckdb.connect() as connection:
        connection.register("quarantine", quarantine.to_pyarrow_dataset())
        return connection.execute(query, parameters).fetchall()


def _attempts(settings: Settings) -> dict[Position, int]:
    with psycopg.connect(**settings.postgres_parameters("fraud_reader")) as connection:
        rows = connection.execute(
            'SELECT topic, partition, "offset", max(attempt) FROM fraud.quarantine_replays GROUP BY 1, 2, 3'
        ).fetchall()
    return {Position(topic, partition, offset): attempt for topic, partition, offset, attempt in rows}

"""A new generation of a query whose checkpoint was put aside: it reads again what its state needs, and writes only
what the tables lack. `medallion checkpoint rebase` decides where it begins and keeps that in the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import psycopg
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from fraud_domain.settings import Settings
from fraud_domain.streams import StreamSpec
from fraud_domain.tables import TableSpec
from spark_jobs.history_load import TOPIC_PREFIX
from spark_jobs.lake import has_rows, read_table
from spark_jobs.sources import checkpoint_path, generation_of

_FIND = """
SELECT rebase_id, plan FROM fraud.checkpoint_rebases
WHERE stream = %s AND query = %s AND (generation = %s OR generation IS NULL) ORDER BY rebase_id DESC LIMIT 1
"""
POSITION = ("topic", "partition", "offset")


class LostCheckpointError(RuntimeError):
    """A table has rows but the query that fills it has no checkpoint: starting would write them all again."""


@dataclass(frozen=True, slots=True)
class Rebase:
    """What the new generation knows: the largest offset by topic and partition that the tables may hold, and the
    version of a source table to begin with."""

    rebase_id: int
    known_to: dict[str, dict[str, int]]
    from_version: int | None

    def covers(self, topic: str, partition: int, offset: int) -> bool:
        """Whether a row at this position was written by the generation before."""
        return offset <= self.known_to.get(topic, {}).get(str(partition), -1)

    def touches(self, rows: DataFrame) -> bool:
        """Whether any row may be in the tables already: only then it is worth a look."""
        return not rows.where(self._known()).isEmpty()

    def missing(self, rows: DataFrame, lake_root: str, spec: TableSpec, key: Sequence[str]) -> DataFrame:
        """The rows that a table does not hold yet, by `key`."""
        there = read_table(rows.sparkSession, lake_root, spec).select(*key)
        known = self._known()
        return rows.where(~known).unionByName(rows.where(known).join(there, list(key), "left_anti"))

    def _known(self) -> Column:
        """Whether a row is at or below `known_to`."""
        each = [
            (F.col("topic") == topic) & (F.col("partition") == int(partition)) & (F.col("offset") <= offset)
            for topic, partitions in self.known_to.items()
            for partition, offset in partitions.items()
        ]
        return reduce(lambda a, b: a | b, each, F.lit(False))


def rebase_of(settings: Settings, stream: StreamSpec, query: str, generation: str | None) -> Rebase | None:
    """The rebase that a query's generation began with, if any; one not begun yet counts for it."""
    with psycopg.connect(**settings.postgres_parameters("fraud_writer"), autocommit=True) as connection:
        row = connection.execute(_FIND, (stream.name, query, generation)).fetchone()
    return None if row is None else Rebase(row[0], row[1]["known_to"], row[1]["from_version"])


def begun(settings: Settings, rebase: Rebase | None, generation: Any) -> None:
    """Record which generation took a rebase up."""
    if rebase is None:
        return
    with psycopg.connect(**settings.postgres_parameters("fraud_writer"), autocommit=True) as connection:
        connection.execute(
            "UPDATE fraud.checkpoint_rebases SET generation = %s WHERE rebase_id = %s AND generation IS NULL",
            (str(generation), rebase.rebase_id),
        )


def _was_streamed_to(spark: SparkSession, settings: Settings, spec: TableSpec) -> bool:
    """Whether a stream has written to the table; what was loaded from files needs no checkpoint."""
    if not has_rows(spark, settings.lake_root, spec):
        return False
    rows = read_table(spark, settings.lake_root, spec)
    return not rows.where(~F.startswith("topic", F.lit(TOPIC_PREFIX))).isEmpty()


def require_checkpoint(
    spark: SparkSession, settings: Settings, stream: StreamSpec, query: str, spec: TableSpec
) -> Rebase | None:
    """Refuse to fill a table a second time from the start of its source; returns the rebase that allows it.

    Raises:
        LostCheckpointError: the checkpoint is gone, the table is not empty and nobody asked for a rebase.
    """
    path = checkpoint_path(settings, stream.name, query)
    generation = generation_of(spark, path)
    rebase = rebase_of(settings, stream, query, generation)
    if generation is None and rebase is None and _was_streamed_to(spark, settings, spec):
        raise LostCheckpointError(
            f"{spec.full_name} has rows, but its checkpoint {path} is gone: starting would append them all again."
            f" Restore the checkpoint, or run `medallion checkpoint rebase {stream.name}.{query}`;"
            " see docs/runbook/lost-checkpoint.md"
        )
    return rebase

"""What a rebased query writes: the rows that its table does not hold yet."""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import Any

import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from fraud_domain.settings import Settings
from fraud_domain.streams import StreamSpec, checkpoint_path
from fraud_domain.tables import TableSpec
from fraud_domain.topics import HISTORY_PREFIX
from spark_jobs.batch_rows import Rows
from spark_jobs.lake import has_rows, read_table
from spark_jobs.rebase import LostCheckpointError, Rebase, rebase_of
from spark_jobs.sources import generation_of

POSITION = ("topic", "partition", "offset")


def touches(rebase: Rebase, rows: Rows) -> bool:
    """Whether any row may be in the tables already: only then it is worth a look."""
    if isinstance(rows, DataFrame):
        return not rows.where(_known(rebase, F.col, F.lit(False))).isEmpty()
    return bool(rows.filter(_known(rebase, pc.field, pc.scalar(False))).num_rows)


def missing(rebase: Rebase, rows: DataFrame, lake_root: str, spec: TableSpec, key: Sequence[str]) -> DataFrame:
    """The rows that a table does not hold yet, by `key`."""
    there = read_table(rows.sparkSession, lake_root, spec).select(*key)
    known = _known(rebase, F.col, F.lit(False))
    return rows.where(~known).unionByName(rows.where(known).join(there, list(key), "left_anti"))


def _known(rebase: Rebase, column: Callable[[str], Any], never: Any) -> Any:
    """Whether a row is at or below `known_to`, as an expression of Spark or of Arrow."""
    each = [
        (column("topic") == topic) & (column("partition") == int(partition)) & (column("offset") <= offset)
        for topic, partitions in rebase.known_to.items()
        for partition, offset in partitions.items()
    ]
    return reduce(or_, each, never)


def was_streamed() -> Column:
    """Whether a row came from Kafka, and not from files that were loaded."""
    return ~F.startswith("topic", F.lit(HISTORY_PREFIX))


def _was_streamed_to(spark: SparkSession, settings: Settings, spec: TableSpec) -> bool:
    """Whether a stream has written to the table; what was loaded from files needs no checkpoint."""
    if not has_rows(spark, settings.lake_root, spec):
        return False
    rows = read_table(spark, settings.lake_root, spec)
    return not rows.where(was_streamed()).isEmpty()


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

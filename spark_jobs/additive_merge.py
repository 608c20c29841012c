"""Tables of sums: a batch's aggregates added to them once (docs/adr/0006).

Few rows are added up in this process and written by delta-rs, in a fraction of the CPU that the half a dozen jobs of a
MERGE take; many rows, and tables in an object store, are left to Spark. Both keep the batch's idempotence key in the
commit that adds, and either finds the other's.
"""

import random
import time
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa
from delta.exceptions import (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentWriteException,
)
from delta.tables import DeltaTable
from deltalake import DeltaTable as DeltaLog
from deltalake.exceptions import CommitFailedError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraud_domain.micro_batch import Batch
from fraud_domain.tables import TableSpec, location
from spark_jobs import in_process
from spark_jobs.batch_rows import Rows, as_frame
from spark_jobs.failpoints import Failpoint, reached
from spark_jobs.lake import idempotent_commands, replace_once

_FEW_IN_TABLE = 2_000_000
"""Rows of a table that is read whole, since its key has no time: up to here it is added to in this process."""
_MOST_WINDOWS = 1_000
"""Of a batch that is added in this process: delta-rs (1.6.6) goes through a predicate by recursion, and 40,000 values
overflowed the stack and ended the process (20,000 did not). A batch of the past has as many; one of traffic dozens."""
_ATTEMPTS = 6
_FIRST_PAUSE = 0.5
"""Seconds, doubled each time: of two who begin again at once, the same one is first each time."""
_OTHERS_FIRST = (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentWriteException,
    CommitFailedError,
)


@dataclass(frozen=True, slots=True)
class Additive:
    """How the columns of a table combine when more rows of the same key arrive."""

    sums: tuple[str, ...]
    least: tuple[str, ...] = ()
    greatest: tuple[str, ...] = ()


def merge_additive(
    spark: SparkSession, updates: Rows, lake_root: str, spec: TableSpec, rule: Additive, batch: Batch
) -> None:
    """Add a batch's aggregates to the table: no state, no watermark, so a late row corrects its window.

    The first batch of a generation takes the place of all there is, because a new generation reads its source from the
    start. When another writer of the table is first, as a load of history may be, the batch is added after it.

    Args:
        updates: if they are a frame, held at hand by the caller: they are read more than once.

    Raises:
        One of `_OTHERS_FIRST`: others were first each time.
    """
    reached(Failpoint.BEFORE_MERGE, spec.full_name)
    for attempt in range(_ATTEMPTS):
        try:
            if batch.batch_id == 0:
                replace_once(updates, lake_root, spec, batch)
            elif isinstance(updates, DataFrame) or not _added_in_process(updates, lake_root, spec, rule, batch):
                _merged_by_spark(as_frame(spark, updates), lake_root, spec, rule, batch)
        except _OTHERS_FIRST:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(_FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 - no secret
        else:
            break
    reached(Failpoint.AFTER_MERGE, spec.full_name)


def _added_in_process(updates: pa.Table, lake_root: str, spec: TableSpec, rule: Additive, batch: Batch) -> bool:
    """Overwrite the batch's windows by what they were and the batch adds, if this process can.

    Returns:
        Whether the table has the batch now.
    """
    found = in_process.opened_unless_done(lake_root, spec, batch)
    if found is None:
        return True
    if _is_large(found, spec):
        return False
    rows = in_process.fitted(updates, found)
    if rows.num_rows:
        windows = _windows(rows, spec)
        if sum(map(len, windows.values())) > _MOST_WINDOWS:
            return False
        there = found.to_pyarrow_table(filters=[(column, "in", values) for column, values in windows.items()] or None)
        in_process.commit(found, added(there, rows, rule), spec, batch, _sql(windows))
    return True


def added(there: pa.Table, updates: pa.Table, rule: Additive) -> pa.Table:
    """Rows of a table and those of a batch, one for each key; both have the table's schema, and so has the sum."""
    ways = dict.fromkeys(rule.sums, "sum") | dict.fromkeys(rule.least, "min") | dict.fromkeys(rule.greatest, "max")
    key = [column for column in updates.column_names if column not in ways]
    summed = pa.concat_tables([there.cast(updates.schema), updates]).group_by(key).aggregate(list(ways.items()))
    named = summed.rename_columns([*key, *ways])
    return named.select(updates.column_names).cast(updates.schema)


def _windows(updates: pa.Table, spec: TableSpec) -> dict[str, list[date | datetime]]:
    """What of a table a batch adds to, by partition and by time in the key; no column when its key has none."""
    narrow = [
        column.name
        for column in spec.columns
        if column.name in spec.partition_by or (column.name in spec.key and column.type == "timestamp")
    ]
    return {column: sorted(updates[column].unique().to_pylist()) for column in narrow}


def _sql(windows: dict[str, list[date | datetime]]) -> str:
    """The same as a predicate of DataFusion, whose own literals of time are in nanoseconds."""
    parts = [f"{column} IN ({', '.join(_literal(value) for value in values)})" for column, values in windows.items()]
    return " AND ".join(parts) or in_process.ALL


def _literal(value: date | datetime) -> str:
    if isinstance(value, datetime):
        return f"arrow_cast('{value.isoformat()}', 'Timestamp(Microsecond, Some(\"UTC\"))')"
    return f"DATE '{value}'"


def _is_large(found: DeltaLog, spec: TableSpec) -> bool:
    if spec.partition_by:
        return False
    counts = pa.table(found.get_add_actions(flatten=True))["num_records"].to_pylist()
    return sum(count or 0 for count in counts) > _FEW_IN_TABLE


def _merged_by_spark(updates: DataFrame, lake_root: str, spec: TableSpec, rule: Additive, batch: Batch) -> None:
    """The same as a MERGE."""
    spark, app_id = updates.sparkSession, batch.app_id(spec.full_name)
    rows = updates.select(*spec.column_names)
    on = [F.col(f"t.{key}") == F.col(f"u.{key}") for key in spec.key]
    for column in spec.partition_by:
        days = [row[0] for row in updates.select(column).distinct().collect()]
        on.append(F.col(f"t.{column}").isin(days))
    condition = on[0]
    for part in on[1:]:
        condition = condition & part
    changes = {c: F.col(f"t.{c}") + F.col(f"u.{c}") for c in rule.sums}
    changes |= {c: F.least(f"t.{c}", f"u.{c}") for c in rule.least}
    changes |= {c: F.greatest(f"t.{c}", f"u.{c}") for c in rule.greatest}
    merge = (
        DeltaTable.forPath(spark, location(lake_root, spec))
        .alias("t")
        .merge(rows.alias("u"), condition)
        .whenMatchedUpdate(set=dict(changes))
        .whenNotMatchedInsertAll()
    )
    with idempotent_commands(spark, app_id, batch.batch_id):
        merge.execute()

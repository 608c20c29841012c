"""Tables of sums: a batch's aggregates added to them once, by MERGE (docs/adr/0006).

Some hundred rows are merged in this process by delta-rs, which takes a fiftieth of the CPU that Spark's MERGE needs for
its half a dozen jobs; many rows, and tables in an object store, by Spark. Both keep the batch's idempotence key in the
commit that adds, and either finds the other's.
"""

from dataclasses import dataclass

import pyarrow as pa
from delta.exceptions import (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentWriteException,
)
from delta.tables import DeltaTable
from deltalake import CommitProperties, PostCommitHookProperties, Transaction
from deltalake import DeltaTable as DeltaLog
from deltalake.exceptions import CommitFailedError
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from fraud_domain.tables import TableSpec, location
from spark_jobs.failpoints import Failpoint, reached
from spark_jobs.lake import idempotent_commands, written_version
from spark_jobs.micro_batch import Batch

FEW_ROWS = 100_000
"""Up to here a batch's aggregates are merged in this process; 100 bytes each."""
_ATTEMPTS = 5
_OTHERS_FIRST = (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentWriteException,
    CommitFailedError,
)
_HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
"""Logs are cut by `lake_maintenance`, which knows how far their readers are."""


@dataclass(frozen=True, slots=True)
class Additive:
    """How the columns of a table combine when more rows of the same key arrive."""

    sums: tuple[str, ...]
    least: tuple[str, ...] = ()
    greatest: tuple[str, ...] = ()

    @property
    def changes(self) -> dict[str, str]:
        """What becomes of each column of a row `t` that there is, by a row `u` of the same key, in SQL."""
        by_name = {"least": self.least, "greatest": self.greatest}
        changed = {column: f"{name}(t.{column}, u.{column})" for name, columns in by_name.items() for column in columns}
        return {column: f"t.{column} + u.{column}" for column in self.sums} | changed


def merge_additive(
    updates: DataFrame, lake_root: str, spec: TableSpec, rule: Additive, batch: Batch, few_rows: int = FEW_ROWS
) -> None:
    """Add a batch's aggregates to the table: no state, no watermark, so a late row corrects its window.

    The first batch of a generation empties the table before it adds, because a new generation reads its
    source from the start. Emptying an empty table leaves no trace in Delta's log, so the merge itself says whether
    the batch was here before: run again after a crash, it must not empty what it added. When another writer of the
    table is first, as a load of history may be, the batch is added after it.

    Args:
        updates: held at hand by the caller; they are read more than once.

    Raises:
        One of `_OTHERS_FIRST`: others were first each time.
    """
    path = location(lake_root, spec)
    reached(Failpoint.BEFORE_MERGE, spec.full_name)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            if "://" in path or updates.count() > few_rows:
                _by_spark(updates, lake_root, spec, rule, batch)
            else:
                _in_process(updates.select(*spec.column_names).toArrow(), path, spec, rule, batch)
        except _OTHERS_FIRST:
            if attempt == _ATTEMPTS:
                raise
        else:
            break
    reached(Failpoint.AFTER_MERGE, spec.full_name)


def _in_process(updates: pa.Table, path: str, spec: TableSpec, rule: Additive, batch: Batch) -> None:
    found, app_id = DeltaLog(path), batch.app_id(spec.full_name)
    done = found.transaction_version(app_id)
    if done is not None and done >= batch.batch_id:
        return
    if batch.batch_id == 0:
        found.delete(commit_properties=_noted(f"{app_id}:reset", 0), post_commithook_properties=_HOOKS)
        reached(Failpoint.AFTER_RESET, spec.full_name)
    if not updates.num_rows:
        return
    on = [f"t.{key} = u.{key}" for key in spec.key]
    for column in spec.partition_by:
        on.append(f"t.{column} IN ({', '.join(_literals(updates, column))})")
    (
        found.merge(
            updates,
            predicate=" AND ".join(on),
            source_alias="u",
            target_alias="t",
            commit_properties=_noted(app_id, batch.batch_id),
            post_commithook_properties=_HOOKS,
        )
        .when_matched_update(rule.changes)
        .when_not_matched_insert_all()
        .execute()
    )


def _noted(app_id: str, version: int) -> CommitProperties:
    return CommitProperties(app_transactions=[Transaction(app_id, version)])


def _literals(updates: pa.Table, column: str) -> list[str]:
    """The values of a partition column, which are dates, in SQL."""
    return [f"DATE '{value}'" for value in sorted(set(updates[column].to_pylist()))]


def _by_spark(updates: DataFrame, lake_root: str, spec: TableSpec, rule: Additive, batch: Batch) -> None:
    spark = updates.sparkSession
    target = DeltaTable.forPath(spark, location(lake_root, spec))
    app_id = batch.app_id(spec.full_name)
    if batch.batch_id == 0 and written_version(spark, lake_root, spec, app_id) is None:
        with idempotent_commands(spark, f"{app_id}:reset", 0):
            target.delete()
        reached(Failpoint.AFTER_RESET, spec.full_name)
    on = [F.col(f"t.{key}") == F.col(f"u.{key}") for key in spec.key]
    for column in spec.partition_by:
        days = [row[0] for row in updates.select(column).distinct().collect()]
        on.append(F.col(f"t.{column}").isin(days))
    condition = on[0]
    for part in on[1:]:
        condition = condition & part
    merge = (
        target.alias("t")
        .merge(updates.select(*spec.column_names).alias("u"), condition)
        .whenMatchedUpdate(set={column: F.expr(change) for column, change in rule.changes.items()})
        .whenNotMatchedInsertAll()
    )
    with idempotent_commands(spark, app_id, batch.batch_id):
        merge.execute()

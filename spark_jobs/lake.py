"""Delta tables: made from the registry, written once per batch.

Exactly-once effect: every write carries `txnAppId` = stream:table:checkpoint generation and `txnVersion` =
batch id, so Delta skips a batch it already holds. The generation is the query id that Spark keeps in the
checkpoint: with a constant id, a lost checkpoint would make Delta skip new data.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from delta.tables import DeltaTable
from deltalake import DeltaTable as DeltaLog
from deltalake import Schema
from pyspark.sql import DataFrame, DataFrameWriter, SparkSession

from fraud_domain.micro_batch import Batch
from fraud_domain.object_store import is_local
from fraud_domain.tables import TableSpec, location
from spark_jobs import in_process
from spark_jobs.batch_rows import Rows
from spark_jobs.failpoints import Failpoint, reached
from spark_jobs.schemas import table_schema

_LOG_IS_DONE_WITH = "interval 1 hour"
"""Who looks whether a table has news lists its whole log: 20 us of CPU an entry, 900 entries an hour and table."""
_FILE_NAMES_ARE_DONE_WITH = "interval 6 hours"
"""Of removed files: how long each batch reads their names. `lake_maintenance` says how long they stay on disk."""
_LOOKED_UP = frozenset({"topic", "partition", "offset", "kafka_timestamp", "event_time", "window_start", "customer_id"})
"""Besides keys, what queries of the lake look for; least and greatest value of any other column help nobody."""
_TXN = "spark.databricks.delta.write.txn"


def current_generation(frame: DataFrame) -> str:
    """Checkpoint generation of the query whose `foreachBatch` is running: its query id."""
    generation = frame.sparkSession.sparkContext.getLocalProperty("sql.streaming.queryId")
    if not generation:
        raise RuntimeError("no streaming query on this thread: current_generation belongs into foreachBatch")
    return generation


def properties(spec: TableSpec) -> dict[str, str]:
    """Delta's settings of a table. Its log is cut by `lake_maintenance`, which knows how far its readers are."""
    known = (_LOOKED_UP | set(spec.key)) - set(spec.partition_by)
    return {
        "delta.checkpointInterval": "50",
        "delta.enableDeletionVectors": "false",
        "delta.enableExpiredLogCleanup": "false",
        "delta.logRetentionDuration": _LOG_IS_DONE_WITH,
        "delta.deletedFileRetentionDuration": _FILE_NAMES_ARE_DONE_WITH,
        # Of all columns they took a quarter of the time of a write.
        "delta.dataSkippingStatsColumns": ",".join(c for c in spec.column_names if c in known),
    }


def ensure_table(spark: SparkSession, lake_root: str, spec: TableSpec) -> str:
    """Create the table as the registry describes it if it is missing; returns its location.

    On a local lake delta-rs does it in milliseconds; a cold Spark needs seconds for each table.
    """
    path, wanted = location(lake_root, spec), properties(spec)
    if is_local(path):
        found = DeltaLog.create(
            path,
            schema=Schema.from_json(json.dumps(spec.delta_schema)),
            mode="ignore",
            partition_by=list(spec.partition_by),
            name=spec.full_name,
            description=spec.description,
            configuration=wanted,
        )
        if not wanted.items() <= found.metadata().configuration.items():
            found.alter.set_table_properties(wanted)
        return path
    builder = (
        DeltaTable.createIfNotExists(spark).location(path).addColumns(table_schema(spec)).comment(spec.description)
    )
    if spec.partition_by:
        builder = builder.partitionedBy(*spec.partition_by)
    for key, value in wanted.items():
        builder = builder.property(key, value)
    builder.execute()
    return path


def is_there(spark: SparkSession, lake_root: str, spec: TableSpec) -> bool:
    """Whether the table was ever made."""
    path = location(lake_root, spec)
    return bool(DeltaLog.is_deltatable(path)) if is_local(path) else DeltaTable.isDeltaTable(spark, path)


def has_rows(spark: SparkSession, lake_root: str, spec: TableSpec) -> bool:
    """Whether anything was ever written to the table."""
    path = location(lake_root, spec)
    if is_local(path):
        return bool(DeltaLog(path).version() > 0)
    return not read_table(spark, lake_root, spec).isEmpty()


def read_table(spark: SparkSession, lake_root: str, spec: TableSpec) -> DataFrame:
    """A table as of now."""
    return spark.read.format("delta").load(location(lake_root, spec))


def append_once(rows: Rows, lake_root: str, spec: TableSpec, batch: Batch) -> None:
    """Append a batch's rows; nothing when the table has the batch already."""
    reached(Failpoint.BEFORE_APPEND, spec.full_name)
    if isinstance(rows, DataFrame):
        _keyed(rows, spec, batch).mode("append").save(location(lake_root, spec))
    else:
        in_process.write_once(rows, lake_root, spec, batch)
    reached(Failpoint.AFTER_APPEND, spec.full_name)


def append_no_news(frame: DataFrame, lake_root: str, spec: TableSpec, batch: Batch) -> None:
    """Append any number of rows that streams which read the table pass over (docs/adr/0013), once."""
    reached(Failpoint.BEFORE_APPEND, spec.full_name)
    _keyed(frame, spec, batch).mode("append").option("dataChange", "false").save(location(lake_root, spec))
    reached(Failpoint.AFTER_APPEND, spec.full_name)


def replace_once(rows: Rows, lake_root: str, spec: TableSpec, batch: Batch) -> None:
    """Put a batch's rows in the place of all that a table has, once."""
    if isinstance(rows, DataFrame):
        _keyed(rows, spec, batch).mode("overwrite").save(location(lake_root, spec))
    else:
        in_process.write_once(rows, lake_root, spec, batch, in_process.ALL)


def _keyed(frame: DataFrame, spec: TableSpec, batch: Batch) -> DataFrameWriter:
    rows = frame.select(*spec.column_names).write.format("delta")
    return rows.option("txnAppId", batch.app_id(spec.full_name)).option("txnVersion", batch.batch_id)


def written_version(spark: SparkSession, lake_root: str, spec: TableSpec, app_id: str) -> int | None:
    """The newest batch that a table holds under an idempotence key, by Delta's own record; None when there is none."""
    jvm = spark._jvm
    if jvm is None:
        raise RuntimeError("no JVM behind this session")
    log = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, location(lake_root, spec))
    snapshot = log.update(False, jvm.scala.Option.empty(), jvm.scala.Option.empty())
    last = snapshot.transactions().get(app_id)
    return int(last.get()) if last.isDefined() else None


@contextmanager
def idempotent_commands(spark: SparkSession, app_id: str, version: int) -> Iterator[None]:
    """MERGE takes its idempotence key from the session; unset it whatever happens."""
    spark.conf.set(f"{_TXN}AppId", app_id)
    spark.conf.set(f"{_TXN}Version", str(version))
    try:
        yield
    finally:
        spark.conf.unset(f"{_TXN}AppId")
        spark.conf.unset(f"{_TXN}Version")


def replace_days(frame: DataFrame, lake_root: str, spec: TableSpec, start: date, end: date) -> int:
    """Replace the days from `start` to before `end` in one commit; returns how many rows the new version added."""
    path = location(lake_root, spec)
    (
        frame.select(*spec.column_names)
        .write.format("delta")
        .mode("overwrite")
        .option("replaceWhere", f"event_date >= DATE'{start}' AND event_date < DATE'{end}'")
        .save(path)
    )
    newest = DeltaTable.forPath(frame.sparkSession, path).history(1).select("operationMetrics").collect()
    metrics = newest[0]["operationMetrics"] if newest else {}
    return int(metrics.get("numOutputRows", 0))

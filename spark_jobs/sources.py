"""Where streams read from, and how they are triggered and checkpointed."""

import json
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.readwriter import DataStreamWriter

from fraud_domain.kafka_client import spark_options
from fraud_domain.settings import Settings, Trigger, TriggerMode
from fraud_domain.tables import TableSpec, location

FETCH_WAIT_MS = "10"
"""Spark asks for offsets on the connection on which the consumer's read-ahead still waits for news: at the default of
500 ms an alert batch of 10 rows took 570-690 ms, with this 160-230 ms (bench/results/fetch_wait.txt)."""

_MOST_FILES, _MOST_BYTES = 200, "64m"
"""Of a Delta table in one batch; compressed, so some 300,000 rows."""


def kafka_stream(
    spark: SparkSession, settings: Settings, topic: str, max_offsets: int, starting_offsets: str = "earliest"
) -> DataFrame:
    """Topics, separated by commas, from their start. Lost data stops the query: it is never skipped in silence."""
    return (
        spark.readStream.format("kafka")
        .options(**spark_options(settings))
        .option("subscribe", topic)
        .option("startingOffsets", starting_offsets)
        .option("failOnDataLoss", "true")
        .option("maxOffsetsPerTrigger", max_offsets)
        .option("kafka.fetch.max.wait.ms", FETCH_WAIT_MS)
        .load()
    )


def delta_stream(
    spark: SparkSession, settings: Settings, spec: TableSpec, *, from_first_commit: bool = False
) -> DataFrame:
    """A Delta table as a stream of its appended rows; a change or a lost file stops the query.

    A batch has some `_MOST_BYTES` at most and one file at least, so that its rows fit into the driver.

    `from_first_commit` reads the log from there on instead of the table as it is now: history that was loaded in batch
    before the first start, and went on to the next table already, is left out.
    """
    reader = (
        spark.readStream.format("delta")
        .option("failOnDataLoss", "true")
        .option("maxFilesPerTrigger", _MOST_FILES)
        .option("maxBytesPerTrigger", _MOST_BYTES)
    )
    if from_first_commit:
        reader = reader.option("startingVersion", "0")
    return reader.load(location(settings.lake_root, spec))


def generation_of(spark: SparkSession, path: str) -> str | None:
    """The query id that a checkpoint holds; None when no query ever started on it."""
    if not has_checkpoint(spark, path):
        return None
    content = spark.read.text(f"{path}/metadata").head()
    return str(json.loads(content[0])["id"]) if content else None


def has_checkpoint(spark: SparkSession, path: str) -> bool:
    """Whether a query has ever started on this checkpoint, on whatever file system it is."""
    return _exists(spark, f"{path}/metadata")


def has_first_commit(spark: SparkSession, settings: Settings, spec: TableSpec) -> bool:
    """Whether the log of a Delta table still begins with the table."""
    return _exists(spark, f"{location(settings.lake_root, spec)}/_delta_log/{0:020d}.json")


def _exists(spark: SparkSession, path: str) -> bool:
    jvm: Any = spark._jvm
    file = jvm.org.apache.hadoop.fs.Path(path)
    return bool(file.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration()).exists(file))


_SELDOM = frozenset({"labels", "account_events", "profiles", "rule_metrics"})
"""Queries with few rows, and those whose tables are written whole and change little from one batch to the next."""


def lake_trigger(settings: Settings, stream: str, query: str) -> Trigger:
    """The trigger of a query of bronze, silver or gold."""
    streams = settings.streams
    if query in _SELDOM:
        return streams.notes
    return {"bronze": streams.bronze, "silver": streams.silver, "gold": streams.gold}[stream]


def triggered(writer: DataStreamWriter, trigger: Trigger) -> DataStreamWriter:
    """Apply the trigger setting."""
    if trigger.mode is TriggerMode.AVAILABLE_NOW:
        return writer.trigger(availableNow=True)
    return writer.trigger(processingTime=trigger.interval)


def offsets_after(rows: list[Any]) -> str:
    """`startingOffsets` JSON that follows rows of (topic, partition, largest offset)."""
    offsets: dict[str, dict[str, int]] = {}
    for topic, partition, largest in rows:
        offsets.setdefault(topic, {})[str(partition)] = largest + 1
    return json.dumps(offsets, sort_keys=True)

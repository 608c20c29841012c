"""Stream `silver`: bronze to typed, deduplicated rows; what breaks the contract goes to quarantine.

    spark-submit spark_jobs/streaming_silver.py

Per topic, `bronze = silver + quarantine + duplicates` holds for every batch.
"""

import sys
from collections.abc import Callable

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from fraud_domain.contract import SCHEMA_VERSION
from fraud_domain.settings import Settings
from fraud_domain.streams import checkpoint_path, stream
from fraud_domain.tables import TableSpec, table
from fraud_domain.topics import HISTORY_PREFIX
from spark_jobs.contract import TimeLimits, parse_account_events, parse_labels, parse_transactions
from spark_jobs.lake import append_once, current_generation, ensure_table
from spark_jobs.micro_batch import Batch
from spark_jobs.rebase import Rebase, begun
from spark_jobs.rebased_rows import POSITION, missing, require_checkpoint, touches
from spark_jobs.sources import delta_stream, lake_trigger, triggered
from spark_jobs.spark_runtime import main

SILVER = stream("silver")
TRANSACTIONS, LABELS = table("silver.transactions"), table("silver.labels")
ACCOUNT_EVENTS = table("silver.account_events")
QUARANTINE, LATE = table("silver.quarantine"), table("silver.late_transactions")


def without_sound_messages(parsed: DataFrame) -> DataFrame:
    """Rows with their message only where it has errors: quarantine keeps it, nobody else reads it again."""
    return parsed.withColumn("value", F.when(F.col("errors").isNotNull(), F.col("value")))


def deduplicated(parsed: DataFrame, key: tuple[str, ...], within: str) -> DataFrame:
    """Each key once within the horizon; rows with errors have no trusted key and all pass.

    The horizon runs on `ingested_at`, which never goes back, and not on event time: so no late row and no
    replayed history can fall behind the watermark and vanish.
    """
    position = F.concat_ws(":", "topic", "partition", "offset")
    business = F.concat_ws("\u001f", *key)
    marked = parsed.withColumn(
        "_key", F.when(F.col("errors").isNull(), F.concat(F.lit("k"), business)).otherwise(position)
    )
    return marked.withWatermark("ingested_at", within).dropDuplicatesWithinWatermark(["_key"]).drop("_key")


def quarantined(parsed: DataFrame) -> DataFrame:
    """Rows with errors, as quarantine keeps them."""
    return parsed.where(F.col("errors").isNotNull()).select(
        *(F.col(c) for c in ("topic", "partition", "offset", "kafka_timestamp", "value")),
        F.col("errors")[0]["code"].alias("reason_code"),
        "errors",
        F.lit(SCHEMA_VERSION).alias("contract_version"),
        "ingested_at",
        F.to_date("ingested_at").alias("ingest_date"),
    )


def late(valid: DataFrame) -> DataFrame:
    """Late rows with their lateness in seconds."""
    seconds = F.col("kafka_timestamp").cast("double") - F.col("event_time").cast("double")
    return valid.where("is_late").withColumn("lateness_seconds", seconds)


def counted(parsed: DataFrame) -> tuple[int, ...]:
    """How many transactions are valid, how many are refused, and how many of the valid ones are late."""
    sound = F.col("errors").isNull()
    return tuple(parsed.agg(F.count_if(sound), F.count_if(~sound), F.count_if(sound & F.col("is_late"))).collect()[0])


def write_transactions(lake_root: str, rebase: Rebase | None = None) -> Callable[[DataFrame, int], None]:
    """The foreachBatch of transactions: silver, quarantine and late rows, each once per batch."""

    def write(frame: DataFrame, batch_id: int) -> None:
        batch = Batch("silver.transactions", current_generation(frame), batch_id)
        frame.persist()
        try:
            counts = counted(frame)
            valid = frame.where(F.col("errors").isNull())
            outputs = ((TRANSACTIONS, valid), (QUARANTINE, quarantined(frame)), (LATE, late(valid)))
            again = rebase if rebase and touches(rebase, frame) else None
            _append_filled(outputs, counts, lake_root, batch, again)
        finally:
            frame.unpersist()

    return write


def write_notes(spec: TableSpec, lake_root: str, rebase: Rebase | None = None) -> Callable[[DataFrame, int], None]:
    """The foreachBatch of labels and of account events: silver and quarantine."""

    def write(frame: DataFrame, batch_id: int) -> None:
        batch = Batch(spec.full_name, current_generation(frame), batch_id)
        frame.persist()
        try:
            wrong = F.col("errors").isNotNull()
            counts = frame.agg(F.count_if(~wrong), F.count_if(wrong)).collect()[0]
            outputs = ((spec, frame.where(~wrong)), (QUARANTINE, quarantined(frame)))
            again = rebase if rebase and touches(rebase, frame) else None
            _append_filled(outputs, tuple(counts), lake_root, batch, again)
        finally:
            frame.unpersist()

    return write


def _append_filled(
    outputs: tuple[tuple[TableSpec, DataFrame], ...],
    counts: tuple[int, ...],
    lake_root: str,
    batch: Batch,
    rebase: Rebase | None,
) -> None:
    """Commit only where there are rows: an empty Delta commit costs as much as a full one."""
    for (spec, rows), count in zip(outputs, counts, strict=True):
        if count:
            wanted = missing(rebase, rows, lake_root, spec, POSITION) if rebase else rows
            append_once(wanted, lake_root, spec, batch, count)


def start(spark: SparkSession, settings: Settings, epoch: int) -> list[StreamingQuery]:
    """Start a query for each topic."""
    for spec in (*(table(f"bronze.{name}") for name in SILVER.queries), *SILVER.tables):
        ensure_table(spark, settings.lake_root, spec)
    limits = TimeLimits(settings.streams.late_after, settings.streams.future_tolerance)
    plans = (
        (TRANSACTIONS, parse_transactions),
        (LABELS, parse_labels),
        (ACCOUNT_EVENTS, parse_account_events),
    )
    queries = []
    for spec, parse in plans:
        name = spec.name
        checkpoint = checkpoint_path(settings, SILVER.name, name)
        rebase = require_checkpoint(spark, settings, SILVER, name, spec)
        first = rebase.from_version if rebase else 0
        raw = delta_stream(spark, settings, table(f"bronze.{name}"), from_version=first)
        if first is None:
            # The table as it is has what was loaded from files, which is in silver already.
            raw = raw.where(~F.startswith("topic", F.lit(HISTORY_PREFIX)))
        lake = settings.lake_root
        write = write_transactions(lake, rebase) if spec is TRANSACTIONS else write_notes(spec, lake, rebase)
        rows = deduplicated(without_sound_messages(parse(raw, limits)), spec.key, settings.streams.deduplicate_within)
        writer = (
            rows.writeStream.queryName(f"silver.{name}")
            .outputMode("append")
            .option("checkpointLocation", checkpoint)
            .foreachBatch(write)
        )
        queries.append(triggered(writer, lake_trigger(settings, SILVER.name, name)).start())
        begun(settings, rebase, queries[-1].id)
    return queries


if __name__ == "__main__":
    sys.exit(main({SILVER.name: start}))

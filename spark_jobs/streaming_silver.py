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
from fraud_domain.micro_batch import Batch
from fraud_domain.settings import Settings
from fraud_domain.streams import checkpoint_path, stream
from fraud_domain.tables import TableSpec, table
from spark_jobs.contract import TimeLimits, parse_account_events, parse_labels, parse_transactions
from spark_jobs.lake import current_generation, ensure_table
from spark_jobs.rebase import Rebase, begun
from spark_jobs.rebased_rows import POSITION, require_checkpoint, was_streamed
from spark_jobs.sources import delta_stream, has_first_commit, lake_trigger, triggered
from spark_jobs.spark_runtime import main
from spark_jobs.table_parts import Part, append_parts, needed

SILVER = stream("silver")
VALID, REFUSED, VALID_AND_LATE = "_valid", "_refused", "_valid_and_late"
_QUARANTINED = Part(table("silver.quarantine"), REFUSED, POSITION)
PARTS: dict[str, tuple[Part, ...]] = {
    query: (Part(table(f"silver.{query}"), VALID, POSITION), _QUARANTINED) for query in SILVER.queries
}
PARTS["transactions"] += (Part(table("silver.late_transactions"), VALID_AND_LATE, POSITION),)
_PARSERS = {"transactions": parse_transactions, "labels": parse_labels, "account_events": parse_account_events}


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


def marked(parsed: DataFrame) -> DataFrame:
    """Rows with a column for each table that tells whether they belong to it, and with what only those tables have."""
    valid = F.col("errors").isNull()
    rows = parsed.withColumns(
        {
            VALID: valid,
            REFUSED: ~valid,
            "reason_code": F.col("errors")[0]["code"],
            "contract_version": F.lit(SCHEMA_VERSION),
            "ingest_date": F.to_date("ingested_at"),
        }
    )
    if "is_late" not in parsed.columns:
        return rows
    seconds = F.col("kafka_timestamp").cast("double") - F.col("event_time").cast("double")
    return rows.withColumns({VALID_AND_LATE: valid & F.col("is_late"), "lateness_seconds": seconds})


def write_parts(query: str, lake_root: str, rebase: Rebase | None = None) -> Callable[[DataFrame, int], None]:
    """The foreachBatch of a topic: silver, quarantine and late rows, each once per batch."""

    def write(frame: DataFrame, batch_id: int) -> None:
        batch = Batch(f"silver.{query}", current_generation(frame), batch_id)
        append_parts(frame, lake_root, batch, PARTS[query], rebase)

    return write


def bronze_rows(spark: SparkSession, settings: Settings, spec: TableSpec, rebase: Rebase | None) -> DataFrame:
    """A bronze table as a stream, without what was loaded from files, which is in silver already."""
    from_first_commit = rebase is None and has_first_commit(spark, settings, spec)
    rows = delta_stream(spark, settings, spec, from_first_commit=from_first_commit)
    if not from_first_commit:
        rows = rows.where(was_streamed())
    if rebase is None or rebase.since is None:
        return rows
    recent = F.col("ingested_at") >= F.lit(rebase.since)
    # Of days before, not even the files are opened.
    return rows.where(recent & (F.col("ingest_date") >= F.lit(rebase.since.date())))


def start(spark: SparkSession, settings: Settings, epoch: int) -> list[StreamingQuery]:
    """Start a query for each topic."""
    for spec in (*(table(f"bronze.{name}") for name in SILVER.queries), *SILVER.tables):
        ensure_table(spark, settings.lake_root, spec)
    limits = TimeLimits(settings.streams.late_after, settings.streams.future_tolerance)
    queries = []
    for name in SILVER.queries:
        checkpoint = checkpoint_path(settings, SILVER.name, name)
        target = table(f"silver.{name}")
        rebase = require_checkpoint(spark, settings, SILVER, name, target)
        raw = bronze_rows(spark, settings, table(f"bronze.{name}"), rebase)
        parsed = without_sound_messages(_PARSERS[name](raw, limits))
        rows = marked(deduplicated(parsed, target.key, settings.streams.deduplicate_within))
        writer = (
            rows.select(*needed(PARTS[name]))
            .writeStream.queryName(f"silver.{name}")
            .outputMode("append")
            .option("checkpointLocation", checkpoint)
            .foreachBatch(write_parts(name, settings.lake_root, rebase))
        )
        queries.append(triggered(writer, lake_trigger(settings, SILVER.name, name)).start())
        begun(settings, rebase, queries[-1].id)
    return queries


if __name__ == "__main__":
    sys.exit(main({SILVER.name: start}))

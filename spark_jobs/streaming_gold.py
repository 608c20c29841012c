"""Stream `gold`: window metrics, profiles, decisions, alerts and rule metrics, with their marts.

spark-submit spark_jobs/streaming_gold.py
"""

import sys
from collections.abc import Callable

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from fraud_domain.micro_batch import Batch
from fraud_domain.settings import Settings
from fraud_domain.streams import checkpoint_path, stream
from fraud_domain.tables import DECISION_COLUMNS, table
from spark_jobs.additive_merge import merge_additive
from spark_jobs.aggregates import (
    AGGREGATED,
    METRICS,
    METRICS_RULE,
    PROFILE_RULE,
    PROFILED,
    PROFILES,
    profiles_of,
    rule_metrics,
    windows_of,
)
from spark_jobs.batch_rows import as_tuples, at_hand
from spark_jobs.failpoints import Failpoint, reached
from spark_jobs.lake import current_generation, ensure_table, replace_once
from spark_jobs.marts import add_to_marts, replace_in_mart
from spark_jobs.rebase import Rebase, begun
from spark_jobs.rebased_rows import require_checkpoint
from spark_jobs.schemas import columns_schema
from spark_jobs.sources import delta_stream, lake_trigger, triggered
from spark_jobs.spark_runtime import main
from spark_jobs.table_parts import Part, append_parts, needed

GOLD = stream("gold")
DECISIONS, ALERTS = table("gold.fraud_decisions"), table("gold.fraud_alerts")
DECIDED = (Part(DECISIONS, "_decided", DECISIONS.key), Part(ALERTS, "alert", ALERTS.key))
RULE_METRICS, RULE_MART = table("gold.rule_metrics_daily"), table("mart.rule_metrics_daily")
METRIC_MARTS = {span: table(f"mart.transaction_metrics_{span}") for span in METRICS}


def parse_decisions(raw: DataFrame) -> DataFrame:
    """The decision log as typed rows; `topic`, `partition`, `offset` are those of the transaction."""
    schema = columns_schema(tuple(c for c in DECISION_COLUMNS))
    decision = F.from_json(F.col("value").cast("string"), schema, {"mode": "FAILFAST"})
    return raw.select(decision.alias("d"), "ingested_at").select(
        "d.*", "ingested_at", F.to_date("d.event_time").alias("event_date")
    )


def write_metrics(settings: Settings) -> Callable[[DataFrame, int], None]:
    """The foreachBatch of silver transactions: window metrics, then their marts."""
    database = settings.postgres_parameters("fraud_writer")

    def write(frame: DataFrame, batch_id: int) -> None:
        batch, lake = Batch("gold.metrics", current_generation(frame), batch_id), settings.lake_root
        with at_hand(frame, lake) as rows, windows_of(rows) as windows:
            for span, updates in windows.items():
                merge_additive(frame.sparkSession, updates, lake, METRICS[span], METRICS_RULE, batch)
            marts = [
                (METRIC_MARTS[span], METRICS_RULE, as_tuples(updates, METRIC_MARTS[span].column_names))
                for span, updates in windows.items()
            ]
            add_to_marts(database, batch, marts)

    return write


def write_profiles(lake_root: str) -> Callable[[DataFrame, int], None]:
    """The foreachBatch of silver transactions that adds to the profiles, which have no window and are written whole."""

    def write(frame: DataFrame, batch_id: int) -> None:
        batch = Batch("gold.profiles", current_generation(frame), batch_id)
        with at_hand(frame, lake_root) as rows, profiles_of(rows) as usual:
            for entity, updates in usual.items():
                merge_additive(frame.sparkSession, updates, lake_root, PROFILES[entity], PROFILE_RULE, batch)

    return write


def write_decisions(lake_root: str, rebase: Rebase | None = None) -> Callable[[DataFrame, int], None]:
    """The foreachBatch of decisions: the log, and the alerts among them."""

    def write(frame: DataFrame, batch_id: int) -> None:
        batch = Batch("gold.decisions", current_generation(frame), batch_id)
        append_parts(frame, lake_root, batch, DECIDED, rebase)

    return write


def write_rule_metrics(settings: Settings) -> Callable[[DataFrame, int], None]:
    """The foreachBatch of rule metrics: a small table, replaced whole, and its mart."""
    database = settings.postgres_parameters("fraud_writer")

    def write(frame: DataFrame, batch_id: int) -> None:
        batch = Batch("gold.rule_metrics", current_generation(frame), batch_id)
        with at_hand(frame, settings.lake_root) as rows:
            replace_once(rows, settings.lake_root, RULE_METRICS, batch)
            reached(Failpoint.BEFORE_RULE_MART)
            replace_in_mart(database, RULE_MART, as_tuples(rows, RULE_MART.column_names))

    return write


def start(spark: SparkSession, settings: Settings, epoch: int) -> list[StreamingQuery]:
    """Start the four queries of gold."""
    for spec in (table("silver.transactions"), table("bronze.decisions"), *GOLD.tables):
        if spec.layer != "mart":
            ensure_table(spark, settings.lake_root, spec)
    rebase = require_checkpoint(spark, settings, GOLD, "decisions", DECISIONS)
    within = settings.streams.deduplicate_within
    decisions = (
        parse_decisions(delta_stream(spark, settings, table("bronze.decisions")))
        .withWatermark("ingested_at", within)
        .dropDuplicatesWithinWatermark(list(DECISIONS.key))
        .withColumn("_decided", F.lit(True))
        .select(*needed(DECIDED))
    )
    transactions = table("silver.transactions")
    writers = {
        "metrics": delta_stream(spark, settings, transactions)
        .select(*AGGREGATED)
        .writeStream.outputMode("append")
        .foreachBatch(write_metrics(settings)),
        "profiles": delta_stream(spark, settings, transactions)
        .select(*PROFILED)
        .writeStream.outputMode("append")
        .foreachBatch(write_profiles(settings.lake_root)),
        "decisions": decisions.writeStream.outputMode("append").foreachBatch(
            write_decisions(settings.lake_root, rebase)
        ),
        "rule_metrics": rule_metrics(delta_stream(spark, settings, DECISIONS))
        .writeStream.outputMode("complete")
        .foreachBatch(write_rule_metrics(settings)),
    }
    queries = []
    for name, writer in writers.items():
        named = writer.queryName(f"gold.{name}").option("checkpointLocation", checkpoint_path(settings, "gold", name))
        queries.append(triggered(named, lake_trigger(settings, GOLD.name, name)).start())
        if name == "decisions":
            begun(settings, rebase, queries[-1].id)
    return queries


if __name__ == "__main__":
    sys.exit(main({GOLD.name: start}))

"""Stream `gold`: window metrics, profiles, decisions, alerts and rule metrics, with their marts.

spark-submit spark_jobs/streaming_gold.py
"""

import sys
from collections.abc import Callable
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from fraud_domain.settings import Settings
from fraud_domain.streams import checkpoint_path, stream
from fraud_domain.tables import DECISION_COLUMNS, TableSpec, table
from spark_jobs.additive_merge import merge_additive
from spark_jobs.aggregates import (
    AGGREGATED,
    METRICS,
    METRICS_RULE,
    PROFILE_RULE,
    PROFILES,
    held_profiles,
    held_windows,
    rule_metrics,
)
from spark_jobs.failpoints import Failpoint, reached
from spark_jobs.lake import append_once, current_generation, ensure_table, replace_once
from spark_jobs.marts import add_to_marts, replace_in_mart
from spark_jobs.micro_batch import Batch
from spark_jobs.rebase import Rebase, begun
from spark_jobs.rebased_rows import missing, require_checkpoint, touches
from spark_jobs.schemas import columns_schema
from spark_jobs.sources import delta_stream, triggered
from spark_jobs.spark_runtime import main

GOLD = stream("gold")
DECISIONS, ALERTS = table("gold.fraud_decisions"), table("gold.fraud_alerts")
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
    """The foreachBatch of silver transactions: metrics, profiles, then the marts."""
    database = settings.postgres_parameters("fraud_writer")

    def write(frame: DataFrame, batch_id: int) -> None:
        batch = Batch("gold.metrics", current_generation(frame), batch_id)
        frame.persist()
        try:
            with held_windows(frame) as windows, held_profiles(frame) as usual:
                for span, updates in windows.items():
                    merge_additive(updates, settings.lake_root, METRICS[span], METRICS_RULE, batch)
                for entity, updates in usual.items():
                    merge_additive(updates, settings.lake_root, PROFILES[entity], PROFILE_RULE, batch)
                marts = [
                    (METRIC_MARTS[span], METRICS_RULE, _tuples(updates, METRIC_MARTS[span]))
                    for span, updates in windows.items()
                ]
                add_to_marts(database, batch, marts)
        finally:
            frame.unpersist()

    return write


def write_decisions(lake_root: str, rebase: Rebase | None = None) -> Callable[[DataFrame, int], None]:
    """The foreachBatch of decisions: the log, and the alerts among them."""

    def write(frame: DataFrame, batch_id: int) -> None:
        batch = Batch("gold.decisions", current_generation(frame), batch_id)
        frame.persist()
        try:
            decided, alerts = frame.agg(F.count("*"), F.count_if("alert")).collect()[0]
            again = rebase if rebase and touches(rebase, frame) else None
            for spec, rows, count in ((DECISIONS, frame, decided), (ALERTS, frame.where("alert"), alerts)):
                if spec is DECISIONS or count:
                    wanted = missing(again, rows, lake_root, spec, spec.key) if again else rows
                    append_once(wanted, lake_root, spec, batch, count)
        finally:
            frame.unpersist()

    return write


def write_rule_metrics(settings: Settings) -> Callable[[DataFrame, int], None]:
    """The foreachBatch of rule metrics: a small table, replaced whole, and its mart."""
    database = settings.postgres_parameters("fraud_writer")

    def write(frame: DataFrame, batch_id: int) -> None:
        batch = Batch("gold.rule_metrics", current_generation(frame), batch_id)
        rows = frame.persist()
        try:
            replace_once(rows, settings.lake_root, RULE_METRICS, batch, rows.count())
            reached(Failpoint.BEFORE_RULE_MART)
            replace_in_mart(database, RULE_MART, _tuples(rows, RULE_MART))
        finally:
            rows.unpersist()

    return write


def _tuples(frame: DataFrame, spec: TableSpec) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in frame.select(*spec.column_names).toLocalIterator()]


def start(spark: SparkSession, settings: Settings, epoch: int) -> list[StreamingQuery]:
    """Start the three queries of gold."""
    for spec in (table("silver.transactions"), table("bronze.decisions"), *GOLD.tables):
        if spec.layer != "mart":
            ensure_table(spark, settings.lake_root, spec)
    rebase = require_checkpoint(spark, settings, GOLD, "decisions", DECISIONS)
    within = settings.streams.deduplicate_within
    decisions = (
        parse_decisions(delta_stream(spark, settings, table("bronze.decisions")))
        .withWatermark("ingested_at", within)
        .dropDuplicatesWithinWatermark(list(DECISIONS.key))
    )
    writers = {
        "metrics": delta_stream(spark, settings, table("silver.transactions"))
        .select(*AGGREGATED)
        .writeStream.outputMode("append")
        .foreachBatch(write_metrics(settings)),
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
        queries.append(triggered(named, settings.streams.gold).start())
        if name == "decisions":
            begun(settings, rebase, queries[-1].id)
    return queries


if __name__ == "__main__":
    sys.exit(main({GOLD.name: start}))

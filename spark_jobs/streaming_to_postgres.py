"""Stream `alerts`: Kafka to decisions to alerts in PostgreSQL, and the decision log back to Kafka.

    spark-submit spark_jobs/streaming_to_postgres.py

It does not wait for the lake: contract, state, rules and score run on the topic itself.
"""

import sys
from collections.abc import Callable

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from fraud_domain.settings import Settings
from fraud_domain.streams import stream
from fraud_domain.tables import DECISION_COLUMNS
from spark_jobs.alert_sink import ALERT_COLUMNS, AlertSink, open_sink
from spark_jobs.contract import TimeLimits, parse_transactions
from spark_jobs.decisions import JSON_OPTIONS, decide, load_rules
from spark_jobs.lake import Batch, current_generation
from spark_jobs.masking import has_card_number, mask_card_numbers
from spark_jobs.runtime import main
from spark_jobs.sources import checkpoint_path, kafka_stream, triggered

ALERTS = stream("alerts")
DECISION_TOPIC = "fraud_decisions"


def valid_transactions(messages: DataFrame, limits: TimeLimits) -> DataFrame:
    """Kafka rows to rows that meet the contract; the lake's lane keeps and explains the others."""
    raw = messages.select(
        "topic",
        "partition",
        "offset",
        F.col("timestamp").alias("kafka_timestamp"),
        mask_card_numbers(F.col("value")).alias("value"),
        has_card_number(F.col("value")).alias("card_masked"),
    )
    return parse_transactions(raw, limits).where(F.col("errors").isNull())


def write_decisions(settings: Settings, sink: AlertSink) -> Callable[[DataFrame, int], None]:
    """The foreachBatch: alerts first, because people wait for them, then the decision log."""

    def write(frame: DataFrame, batch_id: int) -> None:
        batch = Batch("alerts", current_generation(frame), batch_id)
        frame.persist()
        try:
            alerts = frame.where("alert").select(*ALERT_COLUMNS).collect()
            sink.commit(batch, [row.asDict() for row in alerts])
            columns = F.struct(*(c.name for c in DECISION_COLUMNS))
            (
                frame.select(
                    F.col("customer_id").cast("binary").alias("key"),
                    F.to_json(columns, JSON_OPTIONS).cast("binary").alias("value"),
                )
                .write.format("kafka")
                .option("kafka.bootstrap.servers", settings.kafka_bootstrap)
                .option("topic", DECISION_TOPIC)
                .save()
            )
        finally:
            frame.unpersist()

    return write


def start(spark: SparkSession, settings: Settings, epoch: int) -> list[StreamingQuery]:
    """Start the one query of the alert lane."""
    limits = TimeLimits(settings.streams.late_after, settings.streams.future_tolerance)
    messages = kafka_stream(spark, settings, "transactions", settings.streams.alert_max_offsets_per_trigger)
    rules = load_rules(settings.rules.directory, settings.rules)
    sink = open_sink(settings.postgres_parameters("fraud_writer"), ALERTS.name, epoch)
    writer = (
        decide(valid_transactions(messages, limits), rules)
        .writeStream.queryName("alerts.decide")
        .outputMode("append")
        .option("checkpointLocation", checkpoint_path(settings, ALERTS.name, "decide"))
        .foreachBatch(write_decisions(settings, sink))
    )
    return [triggered(writer, settings.streams.alerts).start()]


if __name__ == "__main__":
    sys.exit(main({ALERTS.name: start}))

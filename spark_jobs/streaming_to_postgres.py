"""Stream `alerts`: Kafka to decisions to alerts in PostgreSQL, and the decision log back to Kafka.

    spark-submit spark_jobs/streaming_to_postgres.py

It does not wait for the lake: contract, state, rules and score run on the topic itself.
"""

import sys
from collections.abc import Callable

import orjson
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from fraud_domain.settings import Settings
from fraud_domain.streams import stream
from fraud_domain.topics import FRAUD_ALERTS, FRAUD_DECISIONS, TRANSACTIONS
from spark_jobs.alert_sink import AlertSink, open_sink
from spark_jobs.decision_log import DecisionLog
from spark_jobs.decisions import decide, load_rules
from spark_jobs.lake import Batch, current_generation
from spark_jobs.runtime import main
from spark_jobs.sources import checkpoint_path, kafka_stream, triggered

ALERTS = stream("alerts")


def write_decisions(sink: AlertSink, log: DecisionLog) -> Callable[[DataFrame, int], None]:
    """The foreachBatch: alerts first, because people wait for them, then the decision log."""

    def write(frame: DataFrame, batch_id: int) -> None:
        batch = Batch(ALERTS.name, current_generation(frame), batch_id)
        decided = frame.collect()
        sink.commit(batch, [orjson.loads(row.decision) for row in decided if row.alert])
        log.publish(FRAUD_ALERTS, ((row.customer_id, row.decision) for row in decided if row.alert))
        log.publish(FRAUD_DECISIONS, ((row.customer_id, row.decision) for row in decided))

    return write


def start(spark: SparkSession, settings: Settings, epoch: int) -> list[StreamingQuery]:
    """Start the one query of the alert lane."""
    messages = kafka_stream(spark, settings, TRANSACTIONS, settings.streams.alert_max_offsets_per_trigger)
    sink = open_sink(settings.postgres_parameters("fraud_writer"), ALERTS.name, epoch)
    writer = (
        decide(messages, load_rules(settings))
        .writeStream.queryName("alerts.decide")
        .outputMode("append")
        .option("checkpointLocation", checkpoint_path(settings, ALERTS.name, "decide"))
        .foreachBatch(write_decisions(sink, DecisionLog(settings.kafka_bootstrap)))
    )
    return [triggered(writer, settings.streams.alerts).start()]


if __name__ == "__main__":
    sys.exit(main({ALERTS.name: start}))

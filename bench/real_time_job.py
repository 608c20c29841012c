"""One stateless rule by Spark's Real-Time Mode, for comparison only: `python -m bench.real_time_job`.

A large payment from the phone, the first of the two rules of `bench.rivals`, as an expression of Spark: Kafka to Kafka,
and a plain loop in the same process that brings what arrives there into PostgreSQL. As many tasks as partitions run all
the time, so the master has a slot for each.
"""

import sys
from datetime import UTC, datetime

import psycopg
from confluent_kafka import OFFSET_END, Consumer, TopicPartition
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from bench.rivals.two_rules import AMOUNT, CHANNEL
from fraud_domain.kafka_client import client_configuration
from fraud_domain.settings import Settings
from fraud_domain.topics import TRANSACTIONS
from medallion_services.database.prepare import admin_parameters

ALERTS = "bench_real_time_alerts"
TABLE = """
CREATE SCHEMA IF NOT EXISTS bench;
CREATE TABLE IF NOT EXISTS bench.real_time_alerts (
    run timestamptz, transaction_id text, sent timestamptz, visible_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
_INSERT = "INSERT INTO bench.real_time_alerts (run, transaction_id, sent) VALUES (%s, %s, to_timestamp(%s / 1e3))"
_CHECKPOINT_EVERY = "30 seconds"
"""How long a batch lasts; an alert does not wait for its end."""
_MOST, _WAIT_SECONDS = 500, 0.005


def large(messages: DataFrame) -> DataFrame:
    """The payments that are alerts: their number, and when they were sent."""
    event = F.from_json(F.col("value").cast("string"), "transaction_id string, amount decimal(18,4), channel string")
    rows = messages.select(event.alias("event"), "timestamp")
    found = rows.where((F.col("event.channel") == CHANNEL) & (F.col("event.amount") > AMOUNT))
    sent = F.unix_millis("timestamp").cast("string")
    return found.select(F.col("event.transaction_id").alias("key"), sent.alias("value"))


def main() -> int:
    """Run until it is ended."""
    settings, run = Settings(), datetime.now(UTC)
    spark = SparkSession.builder.appName("real_time").master(f"local[{settings.kafka.partitions}]").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    brokers = {"kafka.bootstrap.servers": settings.kafka_bootstrap}
    read = spark.readStream.format("kafka").options(**brokers, subscribe=TRANSACTIONS, startingOffsets="latest")
    checkpoint = str(settings.data_dir / "checkpoints" / f"real_time-{run:%H%M%S}")
    writer = large(read.load()).writeStream.format("kafka").options(**brokers, topic=ALERTS)
    writer = writer.option("checkpointLocation", checkpoint).outputMode("update")
    # PySpark takes it, its types do not say so.
    query = writer.trigger(realTime=_CHECKPOINT_EVERY).start()  # type: ignore[call-overload]

    options = {"group.id": "real_time", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
    consumer = Consumer({**client_configuration(settings), **options})
    consumer.assign([TopicPartition(ALERTS, number, OFFSET_END) for number in range(settings.kafka.partitions)])
    with psycopg.connect(**admin_parameters(settings, settings.postgres.database), autocommit=True) as connection:
        while query.isActive:
            arrived = [m for m in consumer.consume(_MOST, _WAIT_SECONDS) if m.error() is None]
            rows = [(run, (m.key() or b"").decode(), int(m.value() or 0)) for m in arrived]
            if rows:
                connection.cursor().executemany(_INSERT, rows)
    sys.stderr.write(f"{query.exception()}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""The streaming design that this platform succeeds, for comparison only: `python -m bench.origin_stream`.

The one job of it that was run: Kafka from the newest offset on, at most 10,000 messages every 10 seconds, then in
each batch count, append all by JDBC, count again, append the alerts by JDBC, and show some; nothing is kept between
these five reads, so Kafka is read and JSON parsed each time. A port of the design, not of the code: the points are of
those fields that our contract has, and whoever has 15 of them is an alert, so that there are some to be timed.
"""

import sys

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from bench.jdbc import driver, options
from fraud_domain.settings import Settings
from fraud_domain.topics import TRANSACTIONS

TABLES = """
CREATE SCHEMA IF NOT EXISTS bench;
CREATE TABLE IF NOT EXISTS bench.origin_transactions (
    transaction_id text, customer_id text, amount double precision, currency text, type text, channel text,
    merchant_name text, mcc text, card_brand text, entry_mode text, status text, score integer,
    kafka_timestamp timestamptz
);
CREATE TABLE IF NOT EXISTS bench.origin_alerts (
    transaction_id text, customer_id text, amount double precision, type text, score integer,
    kafka_timestamp timestamptz, visible_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
_SCHEMA = (
    "transaction_id string, customer_id string, event_time string, amount double, currency string, type string,"
    " channel string, merchant_name string, mcc string, card_brand string, entry_mode string, auth_3ds boolean,"
    " status string"
)
_TRIGGER, _MOST, _SHOWN, _ALERT = "10 seconds", "10000", 5, 15


def scored(messages: DataFrame) -> DataFrame:
    """Parsed messages with their sum of points."""
    event = F.from_json(F.col("value").cast("string"), _SCHEMA).alias("event")
    rows = messages.select(event, F.col("timestamp").alias("kafka_timestamp")).select("event.*", "kafka_timestamp")
    hour = F.hour(F.to_timestamp("event_time"))
    terms = (
        (F.col("amount") > 5000, 15),
        (F.col("entry_mode") == "MANUAL", 10),
        ((F.col("channel") == "WEB_BANKING") & ~F.col("auth_3ds"), 15),
        ((hour < 6) | (hour > 23), 10),
        (F.col("mcc").isin("5732", "5944", "7995"), 20),
    )
    score = F.lit(0)
    for condition, worth in terms:
        score = score + F.when(condition, worth).otherwise(0)
    return rows.where("transaction_id IS NOT NULL").withColumn("score", score)


def main() -> int:
    """Run until it is ended."""
    settings = Settings()
    spark = SparkSession.builder.appName("origin").config("spark.jars", driver(settings)).getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    to_database = options(settings)

    def write(batch: DataFrame, batch_id: int) -> None:
        if batch.count() == 0:
            return
        every = ["transaction_id", "customer_id", "amount", "currency", "type", "channel", "merchant_name", "mcc"]
        every += ["card_brand", "entry_mode", "status", "score", "kafka_timestamp"]
        to_database(batch.select(*every), "bench.origin_transactions").mode("append").save()
        alerts = batch.where(F.col("score") >= _ALERT)
        if alerts.count() == 0:
            return
        few = ["transaction_id", "customer_id", "amount", "type", "score", "kafka_timestamp"]
        to_database(alerts.select(*few), "bench.origin_alerts").mode("append").save()
        alerts.select(*few).show(_SHOWN)

    messages = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka_bootstrap)
        .option("subscribe", TRANSACTIONS)
        .option("startingOffsets", "latest")
        .option("maxOffsetsPerTrigger", _MOST)
        .option("failOnDataLoss", "false")
        .load()
    )
    query = scored(messages).writeStream.foreachBatch(write).trigger(processingTime=_TRIGGER).start()
    query.awaitTermination()
    return 0


if __name__ == "__main__":
    sys.exit(main())

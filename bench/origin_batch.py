"""The batch design that this platform succeeds, for comparison only: `python -m bench.origin_batch FOLDER`.

Four jobs, each of which reads the whole layer before it and overwrites its own: JSON to Parquet, duplicates dropped,
one sum of points a row, five tables by JDBC. A port of the design, not of the code, to the fields of our contract:
what that system's generator put ready-made into the event (a score, speeds, distances, "new beneficiary") is no field
of ours, so those terms are missing, and so is every look at a customer's history. Nothing is checked or quarantined.

It prints the seconds of each job as JSON.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from bench.jdbc import driver, options
from fraud_domain.settings import Settings

SCHEMA = "origin"
_CONNECTIONS = 8
_RISKY_MCC = ("5732", "5944", "7995")


class Origin:
    """The jobs on one folder of files."""

    def __init__(self, spark: SparkSession, settings: Settings, files: Path) -> None:
        self._spark, self._files = spark, files
        self._lake = settings.data_dir / "origin"
        self._to_database = options(settings)

    def bronze(self) -> None:
        """JSON with an inferred schema, partitioned by day."""
        raw = self._spark.read.json(str(self._files)).where("transaction_id IS NOT NULL")
        day = F.to_date("event_time")
        stamped = raw.withColumns(
            {
                "ingestion_timestamp": F.current_timestamp(),
                "source_layer": F.lit("raw"),
                "year": F.year(day),
                "month": F.month(day),
                "day": F.dayofmonth(day),
            }
        )
        self._write(stamped.repartition(8), "bronze", "year", "month", "day")

    def silver(self) -> None:
        """Each id once, and columns about time, amount and category."""
        time, amount, hour = F.to_timestamp("event_time"), F.col("amount").cast("double"), F.col("tx_hour")
        rows = self._read("bronze").drop("year", "month", "day").dropDuplicates(["transaction_id"])
        rows = rows.withColumns({"timestamp_dt": time, "amount": amount}).withColumns(
            {
                "tx_date": F.to_date("timestamp_dt"),
                "tx_year": F.year("timestamp_dt"),
                "tx_month": F.month("timestamp_dt"),
                "tx_hour": F.hour("timestamp_dt"),
                "is_weekend": F.dayofweek("timestamp_dt").isin(1, 7),
            }
        )
        derived = {
            "period_of_day": F.when(hour.between(6, 11), "MORNING")
            .when(hour.between(12, 17), "AFTERNOON")
            .when(hour.between(18, 22), "EVENING")
            .otherwise("NIGHT"),
            "amount_range": F.when(amount < 50, "MICRO")
            .when(amount < 200, "SMALL")
            .when(amount < 1000, "MEDIUM")
            .when(amount < 5000, "LARGE")
            .otherwise("VERY_LARGE"),
            "is_high_risk_mcc": F.col("mcc").isin(*_RISKY_MCC),
            "channel": F.upper("channel"),
            "type": F.upper("type"),
            "card_brand": F.upper("card_brand"),
        }
        self._write(rows.withColumns(derived), "silver", "tx_year", "tx_month")

    def gold(self) -> None:
        """Points and level of each row, alerts, and three tables of sums; each reads silver again."""
        scored = self._scored()
        self._write(scored, "gold/fraud_detection", "risk_level")
        alert = ["transaction_id", "customer_id", "timestamp_dt", "type", "amount", "merchant_name", "risk_points"]
        self._write(scored.where("requires_review").select(*alert, "risk_level", "status"), "gold/fraud_alerts")
        self._write(_sums(scored, "tx_year", "tx_month"), "gold/fraud_metrics")
        self._write(_sums(scored, "type"), "gold/metrics_by_type")
        self._write(_sums(scored, "channel"), "gold/metrics_by_channel")

    def _scored(self) -> DataFrame:
        amount = F.col("amount")
        terms = (
            (~F.col("tx_hour").between(6, 23), 15),
            (F.col("is_high_risk_mcc"), 20),
            (amount > 5000, 15),
            (amount > 10000, 15),
            (F.col("type") == "PIX", 5),
            (~F.col("auth_3ds"), 10),
            (F.col("cvv_result") == "NO_MATCH", 10),
            (F.col("period_of_day") == "NIGHT", 10),
            (F.col("entry_mode") == "MANUAL", 15),
        )
        points = F.lit(0)
        for condition, worth in terms:
            points = points + F.when(condition, worth).otherwise(0)
        of = F.col("risk_points")
        level = F.when(of >= 50, "CRITICAL").when(of >= 30, "HIGH").when(of >= 15, "MEDIUM").otherwise("LOW")
        rows = self._read("silver").withColumn("risk_points", points).withColumn("risk_level", level)
        return rows.withColumn("requires_review", F.col("risk_level").isin("CRITICAL", "HIGH"))

    def postgres(self) -> None:
        """Five tables, emptied and filled again."""
        transaction = ["transaction_id", "customer_id", "timestamp_dt", "tx_date", "tx_year", "tx_month", "tx_hour"]
        transaction += ["type", "amount", "currency", "channel", "merchant_name", "mcc", "card_brand", "entry_mode"]
        transaction += ["status", "risk_points", "risk_level", "requires_review", "period_of_day", "amount_range"]
        self._to_table(self._read("gold/fraud_detection").select(*transaction, "is_weekend"), "batch_transactions")
        for name in ("fraud_alerts", "fraud_metrics", "metrics_by_type", "metrics_by_channel"):
            self._to_table(self._read(f"gold/{name}"), f"batch_{name}")

    def _to_table(self, rows: DataFrame, name: str) -> None:
        spread = rows.repartition(_CONNECTIONS)
        self._to_database(spread, f"{SCHEMA}.{name}").option("truncate", "true").mode("overwrite").save()

    def _read(self, name: str) -> DataFrame:
        return self._spark.read.parquet(str(self._lake / name))

    def _write(self, rows: DataFrame, name: str, *partition_by: str) -> None:
        rows.write.mode("overwrite").partitionBy(*partition_by).parquet(str(self._lake / name))


def _sums(scored: DataFrame, *by: str) -> DataFrame:
    return scored.groupBy(*by).agg(
        F.count("*").alias("total_transactions"),
        F.sum("amount").alias("total_volume"),
        F.avg("amount").alias("avg_amount"),
        F.count_if(F.col("risk_level") == "CRITICAL").alias("critical_count"),
        F.count_if(F.col("risk_level") == "HIGH").alias("high_count"),
        F.count_if(F.col("status") == "APPROVED").alias("approved_count"),
        F.count_if(F.col("status") == "DECLINED").alias("declined_count"),
        F.count_distinct("customer_id").alias("unique_customers"),
    )


def main(files: Path) -> int:
    """Run the four jobs, each once, in one session."""
    settings = Settings()
    spark = SparkSession.builder.appName("origin").config("spark.jars", driver(settings)).getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    origin = Origin(spark, settings, files)
    jobs: tuple[Callable[[], None], ...] = (origin.bronze, origin.silver, origin.gold, origin.postgres)
    took = {}
    for job in jobs:
        started = time.monotonic()
        job()
        took[job.__name__] = round(time.monotonic() - started, 1)
    spark.stop()
    sys.stdout.write(json.dumps(took) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

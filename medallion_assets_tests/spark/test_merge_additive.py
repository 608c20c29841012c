"""Adding to a table by MERGE: a batch that runs again has no second effect, a new generation begins from nothing."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deltalake import DeltaTable
from pyspark.sql import SparkSession

from fraud_domain.tables import location, table
from medallion_assets_tests.lake_rows import row
from spark_jobs.aggregates import METRICS_RULE
from spark_jobs.lake import ensure_table, merge_additive
from spark_jobs.micro_batch import Batch
from spark_jobs.schemas import table_schema

HOUR = table("gold.transaction_metrics_hour")


def add(spark: SparkSession, lake: Path, transactions: int, generation: str, batch_id: int) -> int:
    """Add a batch of one window; returns what the table counts afterwards."""
    columns = [column.name for column in HOUR.columns]
    values = row(HOUR, transactions=transactions)
    frame = spark.createDataFrame([tuple(values.get(c) for c in columns)], table_schema(HOUR))
    merge_additive(frame, str(lake), HOUR, METRICS_RULE, Batch("gold.metrics", generation, batch_id))
    counted = DeltaTable(location(str(lake), HOUR)).to_pyarrow_table(columns=["transactions"])
    return sum(counted["transactions"].to_pylist())


def test_the_first_batch_run_again_does_not_empty_what_it_added(spark: SparkSession, tmp_path: Path) -> None:
    ensure_table(spark, str(tmp_path), HOUR)
    assert add(spark, tmp_path, 3, "one", 0) == 3
    assert add(spark, tmp_path, 3, "one", 0) == 3
    assert add(spark, tmp_path, 4, "one", 1) == 7
    assert add(spark, tmp_path, 4, "one", 1) == 7
    assert add(spark, tmp_path, 7, "two", 0) == 7
    assert add(spark, tmp_path, 7, "two", 0) == 7


def test_two_that_add_to_the_same_windows_at_once_are_both_counted(spark: SparkSession, tmp_path: Path) -> None:
    ensure_table(spark, str(tmp_path), HOUR)
    add(spark, tmp_path, 1, "stream", 0)

    def several(generation: str) -> None:
        # The key of a merge is a setting of the session.
        session = spark.newSession()
        for batch_id in range(1, 6):
            add(session, tmp_path, 10, generation, batch_id)

    with ThreadPoolExecutor(2) as both:
        for done in [both.submit(several, generation) for generation in ("stream", "load")]:
            done.result()
    assert add(spark, tmp_path, 1, "stream", 6) == 102

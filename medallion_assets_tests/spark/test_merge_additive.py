"""Adding to a table by MERGE: a batch that runs again has no second effect, a new generation begins from nothing."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from fraud_domain.tables import location, table
from medallion_assets_tests.lake_rows import NOW, row
from spark_jobs.additive_merge import FEW_ROWS, merge_additive
from spark_jobs.aggregates import MERCHANTS, METRICS_RULE, PROFILE_RULE
from spark_jobs.lake import ensure_table
from spark_jobs.micro_batch import Batch
from spark_jobs.schemas import table_schema

HOUR = table("gold.transaction_metrics_hour")


IN_PROCESS, BY_SPARK = FEW_ROWS, 0
"""How many rows are few."""


def add(
    spark: SparkSession, lake: Path, transactions: int, generation: str, batch_id: int, few_rows: int = IN_PROCESS
) -> int:
    """Add a batch of one window; returns what the table counts afterwards."""
    columns = [column.name for column in HOUR.columns]
    values = row(HOUR, transactions=transactions)
    frame = spark.createDataFrame([tuple(values.get(c) for c in columns)], table_schema(HOUR))
    merge_additive(frame, str(lake), HOUR, METRICS_RULE, Batch("gold.metrics", generation, batch_id), few_rows)
    counted = DeltaTable(location(str(lake), HOUR)).to_pyarrow_table(columns=["transactions"])
    return sum(counted["transactions"].to_pylist())


@pytest.mark.parametrize("first", [IN_PROCESS, BY_SPARK])
@pytest.mark.parametrize("again", [IN_PROCESS, BY_SPARK])
def test_a_batch_run_again_has_no_second_effect(spark: SparkSession, tmp_path: Path, first: int, again: int) -> None:
    ensure_table(spark, str(tmp_path), HOUR)
    assert add(spark, tmp_path, 3, "one", 0, first) == 3
    assert add(spark, tmp_path, 3, "one", 0, again) == 3
    assert add(spark, tmp_path, 4, "one", 1, first) == 7
    assert add(spark, tmp_path, 4, "one", 1, again) == 7
    assert add(spark, tmp_path, 7, "two", 0, first) == 7
    assert add(spark, tmp_path, 7, "two", 0, again) == 7


def test_a_batch_is_known_from_a_checkpoint_of_the_log(spark: SparkSession, tmp_path: Path) -> None:
    ensure_table(spark, str(tmp_path), HOUR)
    for batch_id in range(55):
        add(spark, tmp_path, 1, "one", batch_id)
    log = Path(location(str(tmp_path), HOUR), "_delta_log")
    assert list(log.glob("*.checkpoint.parquet"))
    for old in sorted(log.glob("*.json"))[:50]:
        old.unlink()
    assert add(spark, tmp_path, 1, "one", 48, BY_SPARK) == 55
    assert add(spark, tmp_path, 1, "one", 48) == 55
    assert add(spark, tmp_path, 1, "one", 55) == 56


def test_least_and_greatest_are_kept(spark: SparkSession, tmp_path: Path) -> None:
    ensure_table(spark, str(tmp_path), MERCHANTS)
    columns = MERCHANTS.column_names
    seen = [NOW + timedelta(hours=hours) for hours in (5, 1, 9)]
    for batch_id, (moment, amount) in enumerate(zip(seen, ("7.5", "9.25", "0.01"), strict=True)):
        values = row(MERCHANTS, merchant_id="m", currency="EUR", transactions=2, largest=Decimal(amount))
        values |= {"first_seen": moment, "last_seen": moment}
        frame = spark.createDataFrame([tuple(values[c] for c in columns)], table_schema(MERCHANTS))
        way = BY_SPARK if batch_id == 1 else IN_PROCESS
        merge_additive(frame, str(tmp_path), MERCHANTS, PROFILE_RULE, Batch("gold.metrics", "one", batch_id), way)
    (found,) = DeltaTable(location(str(tmp_path), MERCHANTS)).to_pyarrow_table().to_pylist()
    assert (found["transactions"], found["largest"]) == (6, Decimal("9.25"))
    assert (found["first_seen"], found["last_seen"]) == (seen[1], seen[2])


@pytest.mark.parametrize("load", [IN_PROCESS, BY_SPARK])
def test_two_that_add_to_the_same_windows_at_once_are_both_counted(
    spark: SparkSession, tmp_path: Path, load: int
) -> None:
    ensure_table(spark, str(tmp_path), HOUR)
    add(spark, tmp_path, 1, "stream", 0)

    def several(generation: str) -> None:
        # The key of a merge is a setting of the session.
        session = spark.newSession()
        for batch_id in range(1, 6):
            add(session, tmp_path, 10, generation, batch_id, load if generation == "load" else IN_PROCESS)

    with ThreadPoolExecutor(2) as both:
        for done in [both.submit(several, generation) for generation in ("stream", "load")]:
            done.result()
    assert add(spark, tmp_path, 1, "stream", 6) == 102

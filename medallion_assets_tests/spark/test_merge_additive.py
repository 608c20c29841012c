"""Adding to a table: a batch that runs again has no second effect, a new generation takes the place of the old one."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from fraud_domain.micro_batch import Batch
from fraud_domain.tables import TableSpec, location, table
from medallion_assets_tests.lake_rows import NOW, row
from spark_jobs import additive_merge
from spark_jobs.additive_merge import Additive, merge_additive
from spark_jobs.aggregates import METRICS_RULE, PROFILE_RULE, PROFILES
from spark_jobs.lake import ensure_table
from spark_jobs.schemas import table_schema

HOUR, MERCHANTS = table("gold.transaction_metrics_hour"), PROFILES["merchant"]
IN_PROCESS, BY_SPARK = "in process", "by Spark"


def merge(
    spark: SparkSession, lake: Path, spec: TableSpec, rule: Additive, batch: Batch, way: str, *rows: dict[str, Any]
) -> list[dict[str, Any]]:
    """Add rows; returns the table afterwards."""
    columns = spec.column_names
    frame = spark.createDataFrame([tuple(row(spec, **each)[c] for c in columns) for each in rows], table_schema(spec))
    merge_additive(spark, frame if way == BY_SPARK else frame.toArrow(), str(lake), spec, rule, batch)
    found: list[dict[str, Any]] = DeltaTable(location(str(lake), spec)).to_pyarrow_table().to_pylist()
    return found


def add(
    spark: SparkSession, lake: Path, transactions: int, generation: str, batch_id: int, way: str = IN_PROCESS
) -> int:
    """Add a batch of one window; returns what the table counts afterwards."""
    batch = Batch("gold.metrics", generation, batch_id)
    found = merge(spark, lake, HOUR, METRICS_RULE, batch, way, {"transactions": transactions})
    return sum(each["transactions"] for each in found)


@pytest.mark.parametrize("first", [IN_PROCESS, BY_SPARK])
@pytest.mark.parametrize("again", [IN_PROCESS, BY_SPARK])
def test_a_batch_run_again_has_no_second_effect(spark: SparkSession, tmp_path: Path, first: str, again: str) -> None:
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


@pytest.mark.parametrize("way", [IN_PROCESS, BY_SPARK])
def test_only_its_own_windows_are_added_to(spark: SparkSession, tmp_path: Path, way: str) -> None:
    """Batches of several days, hours and values, one of them late, against a recount."""
    ensure_table(spark, str(tmp_path), HOUR)
    hours = [(0, 1), (1, 2, 25), (3, 30), (0, 31), ()]
    expected: Counter[tuple[Any, str]] = Counter()
    for batch_id, batch in enumerate(hours):
        rows = []
        for later, value in [(later, value) for later in batch for value in ("5411", "it's")]:
            moment = NOW + timedelta(hours=later)
            rows.append(
                {"window_start": moment, "event_date": moment.date(), "value": value, "transactions": 1 + later}
            )
            expected[moment, value] += 1 + later
        found = merge(spark, tmp_path, HOUR, METRICS_RULE, Batch("gold.metrics", "one", batch_id), way, *rows)
    assert Counter({(each["window_start"], each["value"]): each["transactions"] for each in found}) == expected
    assert len(found) == len(expected)
    assert {each["amount"] for each in found} == {Decimal(1), Decimal(2)}
    # A reader that goes through pyarrow can look for text, which it cannot in files whose text is written as views.
    dataset = DeltaTable(location(str(tmp_path), HOUR)).to_pyarrow_dataset()
    assert dataset.count_rows(filter=pads.field("value") == "it's") == len(found) / 2


def test_least_and_greatest_are_kept(spark: SparkSession, tmp_path: Path) -> None:
    ensure_table(spark, str(tmp_path), MERCHANTS)
    seen = [NOW + timedelta(hours=hours) for hours in (5, 1, 9)]
    for batch_id, (moment, amount) in enumerate(zip(seen, (None, "9.25", "0.01"), strict=True)):
        values = {"merchant_id": "m", "currency": "EUR", "transactions": 2, "first_seen": moment, "last_seen": moment}
        values |= {"largest": amount and Decimal(amount), "amount_squares": 0.25}
        batch, way = Batch("gold.metrics", "one", batch_id), BY_SPARK if batch_id == 1 else IN_PROCESS
        others = merge(spark, tmp_path, MERCHANTS, PROFILE_RULE, batch, way, values, values | {"currency": "USD"})
    (found,) = [each for each in others if each["currency"] == "EUR"]
    assert (found["transactions"], found["largest"], found["amount_squares"]) == (6, Decimal("9.25"), 0.75)
    assert (found["first_seen"], found["last_seen"]) == (seen[1], seen[2])
    assert len(others) == 2


@pytest.mark.parametrize(("hours", "operation"), [(950, "WRITE"), (3_000, "MERGE")])
def test_a_batch_of_the_past_is_left_to_spark(spark: SparkSession, tmp_path: Path, hours: int, operation: str) -> None:
    """So many windows in one predicate would overflow the stack of the process."""
    ensure_table(spark, str(tmp_path), HOUR)
    columns = HOUR.column_names
    values = row(HOUR, transactions=1)
    rows = [
        tuple((values | {"window_start": moment, "event_date": moment.date()})[c] for c in columns)
        for moment in (NOW - timedelta(hours=number) for number in range(hours))
    ]
    updates = spark.createDataFrame(rows, table_schema(HOUR)).toArrow()
    for batch_id in range(2):
        merge_additive(spark, updates, str(tmp_path), HOUR, METRICS_RULE, Batch("gold.metrics", "one", batch_id))
    found = DeltaTable(location(str(tmp_path), HOUR))
    assert set(found.to_pyarrow_table(columns=["transactions"])["transactions"].to_pylist()) == {2}
    assert found.history(1)[0]["operation"] == operation


def test_a_large_table_is_left_to_spark(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_table(spark, str(tmp_path), MERCHANTS)
    for batch_id, most in enumerate((1, 1, 0)):
        monkeypatch.setattr(additive_merge, "_FEW_IN_TABLE", most)
        batch = Batch("gold.metrics", "one", batch_id)
        (found,) = merge(spark, tmp_path, MERCHANTS, PROFILE_RULE, batch, IN_PROCESS, {"transactions": 2})
        assert found["transactions"] == 2 * (1 + batch_id)
    history = DeltaTable(location(str(tmp_path), MERCHANTS)).history()
    assert [commit["operation"] for commit in history] == ["MERGE", "WRITE", "WRITE", "CREATE TABLE"]


@pytest.mark.parametrize(("stream", "load"), [(IN_PROCESS, IN_PROCESS), (IN_PROCESS, BY_SPARK), (BY_SPARK, BY_SPARK)])
def test_two_that_add_to_the_same_windows_at_once_are_both_counted(
    spark: SparkSession, tmp_path: Path, stream: str, load: str
) -> None:
    ensure_table(spark, str(tmp_path), HOUR)
    add(spark, tmp_path, 1, "stream", 0)

    def several(generation: str, way: str) -> None:
        # The key of a merge is a setting of the session.
        session = spark.newSession()
        for batch_id in range(1, 6):
            add(session, tmp_path, 10, generation, batch_id, way)

    with ThreadPoolExecutor(2) as both:
        for done in [both.submit(several, *one) for one in (("stream", stream), ("load", load))]:
            done.result()
    assert add(spark, tmp_path, 1, "stream", 6) == 102

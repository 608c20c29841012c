"""Appending a batch: the same rows whoever writes it, once, and never half."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraud_domain.tables import TableSpec, delta_tables, location, table
from medallion_assets_tests.lake_rows import row
from spark_jobs.lake import append_once, ensure_table, properties, replace_once
from spark_jobs.micro_batch import Batch
from spark_jobs.schemas import columns_schema, table_schema

BRONZE, ALERTS = table("bronze.transactions"), table("gold.fraud_alerts")
FEW, MANY = 10, 10**9
"""How many rows are announced: few are written in process, many by Spark."""
APPENDED = [spec for spec in delta_tables() if spec.layer in {"bronze", "silver"}] + [ALERTS]


def frame_of(spark: SparkSession, spec: TableSpec, *rows: dict[str, Any]) -> DataFrame:
    made = [tuple(row(spec, **each)[column] for column in spec.column_names) for each in rows]
    return spark.createDataFrame(made, table_schema(spec))


def held(lake: Path, spec: TableSpec) -> DeltaTable:
    return DeltaTable(location(str(lake), spec))


@pytest.mark.parametrize("spec", APPENDED, ids=lambda spec: spec.full_name)
def test_both_writers_write_the_same(spark: SparkSession, tmp_path: Path, spec: TableSpec) -> None:
    optional = {column.name: None for column in spec.columns if column.nullable}
    for lake, rows in ((tmp_path / "process", FEW), (tmp_path / "spark", MANY)):
        ensure_table(spark, str(lake), spec)
        frame = frame_of(spark, spec, {}, optional)
        append_once(frame, str(lake), spec, Batch("test", "one", 0), rows)
    one, other = held(tmp_path / "process", spec), held(tmp_path / "spark", spec)
    assert one.to_pyarrow_table() == other.to_pyarrow_table()
    assert one.schema() == other.schema()
    assert one.history(1)[0]["engineInfo"] != other.history(1)[0].get("engineInfo")
    assert spark.read.format("delta").load(location(str(tmp_path / "process"), spec)).collect() == (
        spark.read.format("delta").load(location(str(tmp_path / "spark"), spec)).collect()
    )
    for action in _added(tmp_path / "process", spec):
        known = set(json.loads(action["stats"])["minValues"])
        assert known <= set(properties(spec)["delta.dataSkippingStatsColumns"].split(",")), (
            "statistics nobody asked for"
        )


def _added(lake: Path, spec: TableSpec) -> list[dict[str, Any]]:
    newest = sorted(Path(location(str(lake), spec), "_delta_log").glob("*.json"))[-1]
    actions = [json.loads(line) for line in newest.read_text(encoding="utf-8").splitlines()]
    return [action["add"] for action in actions if "add" in action]


@pytest.mark.parametrize("first", [FEW, MANY])
@pytest.mark.parametrize("again", [FEW, MANY])
@pytest.mark.parametrize("stream", ["bronze.transactions", "test"])
def test_a_batch_run_again_is_not_there_twice(
    spark: SparkSession, tmp_path: Path, first: int, again: int, stream: str
) -> None:
    ensure_table(spark, str(tmp_path), BRONZE)
    for generation, batch_id in (("one", 0), ("one", 1), ("two", 0)):
        for rows in (first, again):
            append_once(frame_of(spark, BRONZE, {}), str(tmp_path), BRONZE, Batch(stream, generation, batch_id), rows)
    assert held(tmp_path, BRONZE).to_pyarrow_table().num_rows == 3


def test_replaced_whole_and_once(spark: SparkSession, tmp_path: Path) -> None:
    ensure_table(spark, str(tmp_path), ALERTS)
    for batch_id, rows, count in ((0, FEW, 3), (1, MANY, 2), (1, FEW, 5), (2, FEW, 1), (2, MANY, 5)):
        frame = frame_of(spark, ALERTS, *({} for _ in range(count)))
        replace_once(frame, str(tmp_path), ALERTS, Batch("test", "one", batch_id), rows)
        expected = {0: 3, 1: 2, 2: 1}[batch_id]
        assert held(tmp_path, ALERTS).to_pyarrow_table().num_rows == expected


def test_nothing_in_a_required_column_writes_nothing(spark: SparkSession, tmp_path: Path) -> None:
    ensure_table(spark, str(tmp_path), BRONZE)
    loose = columns_schema(tuple(BRONZE.columns))
    for field in loose:
        field.nullable = True
    sound = row(BRONZE)
    rows = [tuple((sound | {"offset": offset})[c] for c in BRONZE.column_names) for offset in (1, None)]
    frame = spark.createDataFrame(rows, loose)
    with pytest.raises((ValueError, pa.ArrowInvalid), match="offset"):
        append_once(frame, str(tmp_path), BRONZE, Batch("test", "one", 0), FEW)
    assert held(tmp_path, BRONZE).version() == 0


def test_rows_larger_than_the_driver_takes_are_left_to_spark(spark: SparkSession, tmp_path: Path) -> None:
    ensure_table(spark, str(tmp_path), BRONZE)
    text = spark.conf.get("spark.driver.maxResultSize")
    megabytes = int(str(text).removesuffix("m"))
    large = frame_of(spark, BRONZE, {}).withColumn("value", F.repeat(F.lit("x"), 1_000_000).cast("binary"))
    count = megabytes + 8
    frame = large.crossJoin(spark.range(count).select(F.col("id").alias("number")))
    append_once(frame, str(tmp_path), BRONZE, Batch("test", "one", 0), count)
    found = held(tmp_path, BRONZE)
    assert found.to_pyarrow_dataset().count_rows() == count
    assert "spark" in str(found.history(1)[0].get("engineInfo", "")).lower()

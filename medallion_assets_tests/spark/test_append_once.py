"""Appending a batch: the same rows whoever writes it, once, and never half."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraud_domain.micro_batch import Batch
from fraud_domain.tables import TableSpec, delta_tables, location, table
from medallion_assets_tests.lake_rows import row
from spark_jobs import batch_rows
from spark_jobs.batch_rows import FEW_ROWS, Rows, taken
from spark_jobs.lake import append_once, ensure_table, properties, replace_once
from spark_jobs.rebase import Rebase
from spark_jobs.rebased_rows import POSITION
from spark_jobs.schemas import columns_schema, table_schema
from spark_jobs.table_parts import Part, append_parts

BRONZE, AGAIN = table("bronze.transactions"), table("bronze.labels")
ALERTS = table("gold.fraud_alerts")
IN_PROCESS, BY_SPARK = "in process", "by Spark"
APPENDED = [spec for spec in delta_tables() if spec.layer in {"bronze", "silver"}] + [ALERTS]


def frame_of(spark: SparkSession, spec: TableSpec, *rows: dict[str, Any]) -> DataFrame:
    made = [tuple(row(spec, **each)[column] for column in spec.column_names) for each in rows]
    return spark.createDataFrame(made, table_schema(spec))


def rows_of(spark: SparkSession, spec: TableSpec, way: str, *rows: dict[str, Any]) -> Rows:
    """Rows for the writer that is meant."""
    frame = frame_of(spark, spec, *rows)
    return frame if way == BY_SPARK else frame.toArrow()


def held(lake: Path, spec: TableSpec) -> DeltaTable:
    return DeltaTable(location(str(lake), spec))


@pytest.mark.parametrize("spec", APPENDED, ids=lambda spec: spec.full_name)
def test_both_writers_write_the_same(spark: SparkSession, tmp_path: Path, spec: TableSpec) -> None:
    optional = {column.name: None for column in spec.columns if column.nullable}
    for lake, way in ((tmp_path / "process", IN_PROCESS), (tmp_path / "spark", BY_SPARK)):
        ensure_table(spark, str(lake), spec)
        append_once(rows_of(spark, spec, way, {}, optional), str(lake), spec, Batch("test", "one", 0))
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


@pytest.mark.parametrize("first", [IN_PROCESS, BY_SPARK])
@pytest.mark.parametrize("again", [IN_PROCESS, BY_SPARK])
@pytest.mark.parametrize("stream", ["bronze.transactions", "test"])
def test_a_batch_run_again_is_not_there_twice(
    spark: SparkSession, tmp_path: Path, first: str, again: str, stream: str
) -> None:
    ensure_table(spark, str(tmp_path), BRONZE)
    for generation, batch_id in (("one", 0), ("one", 1), ("two", 0)):
        for way in (first, again):
            rows = rows_of(spark, BRONZE, way, {})
            append_once(rows, str(tmp_path), BRONZE, Batch(stream, generation, batch_id))
    assert held(tmp_path, BRONZE).to_pyarrow_table().num_rows == 3


def test_replaced_whole_and_once(spark: SparkSession, tmp_path: Path) -> None:
    ensure_table(spark, str(tmp_path), ALERTS)
    batches = ((0, IN_PROCESS, 3), (1, BY_SPARK, 2), (1, IN_PROCESS, 5), (2, IN_PROCESS, 1), (2, BY_SPARK, 5))
    for batch_id, way, count in batches:
        rows = rows_of(spark, ALERTS, way, *({} for _ in range(count)))
        replace_once(rows, str(tmp_path), ALERTS, Batch("test", "one", batch_id))
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
        append_once(frame.toArrow(), str(tmp_path), BRONZE, Batch("test", "one", 0))
    assert held(tmp_path, BRONZE).version() == 0


def test_rows_larger_than_the_driver_takes_are_left_to_spark(spark: SparkSession, tmp_path: Path) -> None:
    ensure_table(spark, str(tmp_path), BRONZE)
    text = spark.conf.get("spark.driver.maxResultSize")
    megabytes = int(str(text).removesuffix("m"))
    large = frame_of(spark, BRONZE, {}).withColumn("value", F.repeat(F.lit("x"), 1_000_000).cast("binary"))
    count = megabytes + 8
    frame = large.crossJoin(spark.range(count).select(F.col("id").alias("number"))).withColumns(
        {"_first": F.col("number") < 1, "_all": F.lit(True)}
    )
    assert taken(frame, str(tmp_path)) is None
    parts = (Part(BRONZE, "_all", POSITION), Part(AGAIN, "_first", POSITION))
    ensure_table(spark, str(tmp_path), AGAIN)
    append_parts(frame, str(tmp_path), Batch("test", "one", 0), parts)
    assert not frame.storageLevel.useMemory, "nothing is held longer than the batch"
    for spec, rows in ((BRONZE, count), (AGAIN, 1)):
        found = held(tmp_path, spec)
        assert found.to_pyarrow_dataset().count_rows() == rows
        assert "spark" in str(found.history(1)[0].get("engineInfo", "")).lower()


def test_what_stays_with_spark_without_a_look(spark: SparkSession, tmp_path: Path) -> None:
    frame = frame_of(spark, BRONZE, {})
    assert taken(frame, "s3a://bucket/lake") is None
    assert taken(frame, str(tmp_path), FEW_ROWS + 1) is None
    rows = taken(frame, str(tmp_path), FEW_ROWS)
    assert rows is not None
    assert rows.num_rows == 1


@pytest.mark.parametrize("way", [IN_PROCESS, BY_SPARK])
def test_only_what_a_table_lacks_is_appended_after_a_rebase(
    spark: SparkSession, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == BY_SPARK:
        monkeypatch.setattr(batch_rows, "is_local", lambda _: False)
    ensure_table(spark, str(tmp_path), BRONZE)
    part = Part(BRONZE, "_all", POSITION)
    rebase = Rebase(1, {"transactions": {"0": 5}})

    def append(generation: str, *offsets: int, after: Rebase | None = None) -> None:
        rows = ({"topic": "transactions", "offset": offset} for offset in offsets)
        frame = frame_of(spark, BRONZE, *rows).withColumn("_all", F.lit(True))
        append_parts(frame, str(tmp_path), Batch("silver.test", generation, 0), (part,), after)

    append("one", 3, 4)
    append("two", 3, 4, 5, 6, after=rebase)
    found = held(tmp_path, BRONZE).to_pyarrow_table(columns=["offset"])["offset"].to_pylist()
    assert sorted(found) == [3, 4, 5, 6]

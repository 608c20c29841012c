"""Maintenance on real Delta tables: fewer files, the same rows, and nothing that a reader may need is deleted."""

import os
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from fraud_domain.micro_batch import Batch
from fraud_domain.settings import Settings
from fraud_domain.tables import delta_tables, location, table
from medallion_assets.defs.maintenance.lake import (
    ENOUGH_SMALL_FILES,
    RETENTION,
    STILL_TO_READ,
    Shape,
    compact,
    cut_log,
    delete_files,
    log_is_needed,
    shape,
    should_compact,
)
from medallion_assets.platform import Platform
from medallion_assets_tests.lake_rows import row, write
from medallion_assets_tests.unit.test_table_properties import NO_SPARK
from spark_jobs.lake import ensure_table, replace_once

SILVER = table("silver.transactions")
COMMITS = ENOUGH_SMALL_FILES + 5


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """A table as a stream leaves it: a small file for each commit."""
    platform = Platform(Settings(data_dir=tmp_path_factory.mktemp("lake")))
    for number in range(COMMITS):
        write(platform, SILVER.full_name, {"transaction_id": f"t{number}", "offset": number})
    return platform


def opened(platform: Platform) -> DeltaTable:
    delta = platform.delta(SILVER)
    assert delta is not None
    return delta


def ids(platform: Platform) -> list[str]:
    return sorted(opened(platform).to_pyarrow_table(columns=["transaction_id"]).to_pydict()["transaction_id"])


def test_many_small_files_become_one_and_streams_see_no_news(grown: Platform) -> None:
    found = shape(opened(grown))
    assert (found.files, found.small) == (COMMITS, COMMITS)
    assert found.bytes > 0
    assert should_compact(SILVER, found)
    before = ids(grown)
    assert compact(opened(grown)) == COMMITS
    after = shape(opened(grown))
    assert after.files == 1
    assert not should_compact(SILVER, after)
    assert ids(grown) == before
    newest = Path(location(grown.settings.lake_root, SILVER), "_delta_log", f"{after.version:020}.json").read_text()
    assert '"dataChange":false' in newest
    assert '"dataChange":true' not in newest


def aged(file: Path, by: timedelta) -> None:
    moment = file.stat().st_mtime - by.total_seconds()
    os.utime(file, (moment, moment))


def test_files_of_the_last_week_are_kept_for_readers_that_lag(grown: Platform) -> None:
    compact(opened(grown))  # the test above does, but may run in another process
    folder = Path(location(grown.settings.lake_root, SILVER))
    files = set(folder.rglob("*.parquet"))
    cut_log(opened(grown))
    assert delete_files(SILVER, opened(grown)) == 0
    assert files <= set(folder.rglob("*.parquet"))
    assert DeltaTable(str(folder), version=3).to_pyarrow_table().num_rows == 4


def test_what_compaction_replaced_is_deleted_a_week_later_though_the_log_forgot_it(tmp_path: Path) -> None:
    platform = Platform(Settings(data_dir=tmp_path))
    for number in range(3):
        write(platform, SILVER.full_name, {"transaction_id": f"t{number}", "offset": number})
    folder = Path(location(platform.settings.lake_root, SILVER))
    old = {path for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts}
    assert compact(opened(platform)) == 3
    (kept,) = {path for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts} - old
    uncommitted = kept.with_name("part-of-a-commit-to-come.parquet")
    uncommitted.write_bytes(kept.read_bytes())
    write(platform, SILVER.full_name, {"transaction_id": "t3", "offset": 3})
    for path in (*old, kept):
        aged(path, RETENTION + timedelta(hours=1))
    rewrite = folder / "_delta_log" / f"{3:020}.json"
    then = int((time.time() - RETENTION.total_seconds() - 3_600) * 1_000)
    rewrite.write_text(re.sub(r'(?<="deletionTimestamp":)\d+', str(then), rewrite.read_text()))
    cut_log(opened(platform))
    assert delete_files(SILVER, opened(platform)) == 3
    assert not any(path.exists() for path in old)
    assert kept.exists()
    assert uncommitted.exists()
    assert ids(platform) == [f"t{number}" for number in range(4)]


def test_the_log_is_cut_to_its_retention_unless_a_stream_has_still_to_read_it(tmp_path: Path) -> None:
    platform = Platform(Settings(data_dir=tmp_path))
    for number in range(12):
        write(platform, SILVER.full_name, {"transaction_id": f"t{number}", "offset": number})
        if number == 5:
            opened(platform).create_checkpoint()
    log = Path(location(platform.settings.lake_root, SILVER), "_delta_log")
    for entry in log.glob("0*.json"):
        if int(entry.stem) < 9:
            aged(entry, timedelta(hours=7))
    for entry in log.glob("*.checkpoint.parquet"):
        aged(entry, timedelta(hours=7))
    cut_log(opened(platform))
    first = min(int(entry.name[:20]) for entry in log.glob("0*.json"))
    assert 0 < first <= 9, "a version that a checkpoint begins with, before the first that is young"
    assert ids(platform) == sorted(f"t{number}" for number in range(12))

    delta = opened(platform)
    mine = str(delta.metadata().id)
    now = datetime.now(UTC)
    later = now + STILL_TO_READ + timedelta(minutes=1)
    assert not log_is_needed(delta, {}, later)
    assert not log_is_needed(delta, {mine: delta.version() + 1, "another": 0}, later)
    assert not log_is_needed(delta, {mine: delta.version() - 1}, now)
    assert log_is_needed(delta, {mine: delta.version() - 1}, later)
    assert log_is_needed(delta, {mine: 0}, later), "also when the log begins later"


def test_only_tables_without_merges_are_compacted() -> None:
    many = shape_of(ENOUGH_SMALL_FILES)
    compacted = {spec.full_name for spec in delta_tables() if should_compact(spec, many)}
    assert "bronze.transactions" in compacted
    assert "gold.transaction_metrics_hour" not in compacted
    assert not should_compact(SILVER, shape_of(ENOUGH_SMALL_FILES - 1))


def test_what_sums_replaced_is_kept_for_an_hour(tmp_path: Path) -> None:
    platform, sums = Platform(Settings(data_dir=tmp_path)), table("gold.customer_profiles")
    root = platform.settings.lake_root
    ensure_table(NO_SPARK, root, sums)
    for batch_id in range(3):
        rows = pa.Table.from_pylist([row(sums, transactions=batch_id)])
        replace_once(rows, root, sums, Batch("gold.metrics", "one", batch_id))
    folder = Path(location(root, sums))
    first, second, third = sorted(folder.glob("*.parquet"), key=lambda file: file.stat().st_mtime)
    for file, log, age in ((first, 2, timedelta(hours=2)), (second, 3, timedelta(minutes=30))):
        aged(file, timedelta(hours=5))
        entry = folder / "_delta_log" / f"{log:020}.json"
        then = int((time.time() - age.total_seconds()) * 1_000)
        entry.write_text(re.sub(r'(?<="deletionTimestamp":)\d+', str(then), entry.read_text()))
    delta = platform.delta(sums)
    assert delta is not None
    assert delete_files(sums, delta) == 1
    assert [file.exists() for file in (first, second, third)] == [False, True, True]


def shape_of(small: int) -> Shape:
    return Shape(small, small, small, 1)

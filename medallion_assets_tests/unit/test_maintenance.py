"""Maintenance on real Delta tables: fewer files, the same rows, and nothing that a reader may need is deleted."""

from pathlib import Path

import pytest
from deltalake import DeltaTable

from fraud_domain.settings import Settings
from fraud_domain.tables import delta_tables, location, table
from medallion_assets.defs.maintenance.lake import (
    ENOUGH_SMALL_FILES,
    Shape,
    append_only,
    clean,
    compact,
    shape,
    should_compact,
)
from medallion_assets.platform import Platform
from medallion_assets_tests.lake_rows import write

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


def test_files_of_the_last_week_are_kept_for_readers_that_lag(grown: Platform) -> None:
    compact(opened(grown))  # the test above does, but may run in another process
    folder = Path(location(grown.settings.lake_root, SILVER))
    files = set(folder.rglob("*.parquet"))
    assert clean(opened(grown)) == 0
    assert files <= set(folder.rglob("*.parquet"))
    assert DeltaTable(str(folder), version=3).to_pyarrow_table().num_rows == 4


def test_only_tables_without_merges_are_compacted() -> None:
    many = shape_of(ENOUGH_SMALL_FILES)
    compacted = {spec.full_name for spec in delta_tables() if should_compact(spec, many)}
    assert "bronze.transactions" in compacted
    assert "gold.transaction_metrics_hour" not in compacted
    merged = {spec.full_name for spec in delta_tables() if not append_only(spec)}
    assert merged <= {spec.full_name for spec in delta_tables()}
    assert not should_compact(SILVER, shape_of(ENOUGH_SMALL_FILES - 1))


def shape_of(small: int) -> Shape:
    return Shape(small, small, small, 1)

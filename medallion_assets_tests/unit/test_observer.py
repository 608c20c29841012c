"""The observer's memory: what it reported, and when it reports again."""

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from fraud_domain.settings import Settings
from fraud_domain.tables import location, table
from medallion_assets.defs.quality.lake_sql import empty
from medallion_assets.defs.streams.observer import (
    MIN_SECONDS_BETWEEN,
    is_due,
    observe_delta,
    read_cursor,
    write_cursor,
)
from medallion_assets.platform import Platform

SEEN: dict[str, dict[str, Any]] = {
    "bronze.transactions": {"mark": 7, "at": 1000.0},
    "alerts.alerts": {"mark": "2026-03-04", "at": 5.5},
}


def test_cursor_comes_back_as_it_was_written() -> None:
    assert read_cursor(write_cursor(SEEN)) == SEEN


@pytest.mark.parametrize(
    "foreign", [None, "", "not json", '{"v": 0, "tables": {"a": 1}}', '{"tables": {}}', "[]", "17", "null"]
)
def test_foreign_cursor_starts_anew(foreign: str | None) -> None:
    assert read_cursor(foreign) == {}


def test_table_is_reported_when_first_seen_and_when_it_moved_long_enough_ago() -> None:
    seen, soon, later = {"mark": 7, "at": 1000.0}, 1000.0 + MIN_SECONDS_BETWEEN / 2, 1000.0 + MIN_SECONDS_BETWEEN
    assert is_due(None, 7, soon)
    assert not is_due(seen, 7, later), "nothing new"
    assert not is_due(seen, 8, soon), "too soon"
    assert is_due(seen, 8, later)


def test_delta_table_is_observed_with_rows_version_and_schema_once(tmp_path: Path) -> None:
    platform = Platform(Settings(data_dir=tmp_path))
    spec = table("gold.rule_metrics_daily")
    assert observe_delta(platform, spec) is None, "not written yet"
    day = {"event_date": date(2026, 11, 24), "rule_id": "VEL-1", "rule_version": "v", "hits": 3, "alerts": 1}
    rows = pa.Table.from_pylist([day | {"shadow_hits": 0, "points": 20.0}] * 2, schema=empty(spec).schema)
    for _ in range(2):
        write_deltalake(location(platform.settings.lake_root, spec), rows, mode="append")
    observed = observe_delta(platform, spec)
    assert observed is not None
    mark, metadata = observed
    assert (mark, metadata["dagster/row_count"], metadata["files"]) == (1, 4, 2)
    assert metadata["bytes"] > 0

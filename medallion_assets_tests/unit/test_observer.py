"""The observer's memory: what it reported, and when it reports again."""

from typing import Any

import pytest

from medallion_assets.defs.streams.observer import MIN_SECONDS_BETWEEN, is_due, read_cursor, write_cursor

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

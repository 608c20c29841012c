"""Which past days are decided again after late rows arrived for them, and that each arrival asks once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from fraud_domain.settings import Settings
from medallion_assets.defs.history.definitions import definitions
from medallion_assets.platform import Platform
from medallion_assets_tests.lake_rows import write

NOW = datetime(2026, 3, 12, 0, 30, tzinfo=UTC)
TODAY = NOW.date()


def late_row(platform: Platform, name: str, days_ago: int, arrived: datetime) -> None:
    """A late transaction of some days ago."""
    event_date = TODAY - timedelta(days=days_ago)
    write(
        platform,
        "silver.transactions",
        {"transaction_id": name, "event_date": event_date, "ingested_at": arrived, "is_late": True},
    )


def tick(platform: Platform, cursor: str | None) -> tuple[list[str], str | None]:
    """One tick: the days asked for, and the cursor after it."""
    resources = dg.Definitions(resources={"platform": platform})
    whole = dg.Definitions.merge(definitions(platform.settings, lambda: NOW), resources)
    sensor = whole.get_sensor_def("recompute_late_days")
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(
            instance=instance,
            resources={"platform": platform},
            cursor=cursor,
            repository_def=whole.get_repository_def(),
        ) as context,
    ):
        data = sensor.evaluate_tick(context)
    return [request.partition_key or "" for request in data.run_requests or []], data.cursor


def test_each_late_day_is_asked_for_once_and_again_after_the_next_late_row(tmp_path: Path) -> None:
    platform = Platform(Settings(data_dir=tmp_path))
    assert tick(platform, None)[0] == []
    late_row(platform, "a", 3, NOW - timedelta(hours=2))
    late_row(platform, "b", 3, NOW - timedelta(hours=1))
    late_row(platform, "c", 1, NOW - timedelta(hours=1))
    late_row(platform, "today", 0, NOW)
    write(platform, "silver.transactions", {"transaction_id": "punctual", "event_date": TODAY - timedelta(days=9)})
    days, cursor = tick(platform, None)
    assert days == [str(TODAY - timedelta(days=3)), str(TODAY - timedelta(days=1))]
    assert tick(platform, cursor)[0] == []
    late_row(platform, "d", 3, NOW)
    assert tick(platform, cursor)[0] == [str(TODAY - timedelta(days=3))]

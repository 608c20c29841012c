"""The job `lake_maintenance` on a real database: it leaves alone what a stream has still to read."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from psycopg.types.json import Jsonb

from fraud_domain.settings import Settings
from fraud_domain.tables import location, table
from medallion_assets.defs.maintenance.definitions import lake_maintenance
from medallion_assets.defs.maintenance.lake import versions_read
from medallion_assets.platform import Platform
from medallion_assets_tests.lake_rows import write
from medallion_services.embedded.throwaway import own_database

SILVER, BRONZE = table("silver.transactions"), table("bronze.transactions")
_PROGRESS = """
INSERT INTO fraud.stream_progress (stream, query, batch_id, at, input_rows, rows_per_second, batch_ms, detail)
VALUES (%s, %s, %s, now() - %s * interval '1 minute', 1, 1, 1, %s)
"""


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    with own_database() as made:
        yield made


def told(settings: Settings, query: str, batch: int, minutes_ago: int, read: dict[str, int]) -> None:
    with psycopg.connect(**settings.postgres_parameters("fraud_writer")) as connection:
        connection.execute(_PROGRESS, (query.split(".")[0], query, batch, minutes_ago, Jsonb({"read": read})))


def test_the_query_furthest_behind_counts_with_its_newest_batch(settings: Settings) -> None:
    told(settings, "gold.metrics", 7, 9, {"a": 100})
    told(settings, "gold.metrics", 8, 1, {"a": 120})
    told(settings, "gold.decisions", 3, 2, {"a": 110, "b": 5})
    # A new generation counts its batches from 0.
    told(settings, "silver.labels", 90, 30, {"c": 900})
    told(settings, "silver.labels", 0, 1, {"c": 10})
    told(settings, "alerts.decide", 1, 1, {})
    with Platform(settings).database() as database:
        assert versions_read(database) == {"a": 110, "b": 5, "c": 10}


def test_a_table_that_a_stream_has_still_to_read_keeps_its_log(settings: Settings) -> None:
    platform = Platform(settings)
    for number in range(3):
        for name in (SILVER.full_name, BRONZE.full_name):
            write(platform, name, {"transaction_id": f"t{number}"} if name == SILVER.full_name else {"offset": number})
    silver = platform.delta(SILVER)
    assert silver is not None
    told(settings, "gold.metrics", 9, 0, {str(silver.metadata().id): silver.version() - 1})
    two_hours_ago = int((time.time() - 7_200) * 1_000)
    for entry in Path(location(settings.lake_root, SILVER), "_delta_log").glob("*.json"):
        entry.write_text(re.sub(r'(?<="timestamp":)\d+', str(two_hours_ago), entry.read_text()))
    result = lake_maintenance.execute_in_process(
        instance=dg.DagsterInstance.ephemeral(), resources={"platform": platform}
    )
    assert result.success
    seen = {
        event.asset_observation_data.asset_observation.asset_key.to_user_string(): event
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.ASSET_OBSERVATION
    }
    cut = {name: e.asset_observation_data.asset_observation.metadata["log cut"].value for name, e in seen.items()}
    assert cut == {"silver/transactions": False, "bronze/transactions": True}
    checkpoints = {
        spec.full_name: len(list(Path(location(settings.lake_root, spec), "_delta_log").glob("*.checkpoint.parquet")))
        for spec in (SILVER, BRONZE)
    }
    assert checkpoints == {"silver.transactions": 0, "bronze.transactions": 1}

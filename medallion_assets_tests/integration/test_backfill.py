"""Seven days of history decided again by a backfill, as Dagster's page of the asset launches it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from fraud_domain.settings import PROJECT_ROOT, Settings
from fraud_domain.tables import location, table
from medallion_assets.defs.history.definitions import POOL
from medallion_assets_tests.pipeline import lake_rows
from medallion_assets_tests.running_stack import eventually, graphql
from medallion_services.embedded import dagster_processes, postgres
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.java import Java
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.throwaway import fresh_settings, running
from medallion_services.generator.timeline import Plan, Timeline
from medallion_services.generator.world import World
from spark_jobs.lake import ensure_table

pytestmark = [pytest.mark.timeout(2400), pytest.mark.long]
DEFINITIONS = "medallion_assets_tests.integration.history_definitions"
RECOMPUTED = table("gold.recomputed_decisions")
START = date(2026, 3, 1)
DAYS = tuple(str(START + timedelta(days=number)) for number in range(7))
BLOCKED = DAYS[2]
LAUNCH = """mutation($days: [String!]!) { launchPartitionBackfill(backfillParams: {
    assetSelection: [{path: ["gold", "recomputed_decisions"]}], partitionNames: $days
}) { __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
LIMITS = "{ instance { concurrencyLimits { concurrencyKey slotCount } } }"
MADE = """{ assetOrError(assetKey: {path: ["gold", "recomputed_decisions"]}) { ... on Asset {
    assetMaterializations(limit: 20) { metadataEntries { label ... on IntMetadataEntry { intValue } } }
} } }"""
PROGRESS = """query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill {
    status assetBackfillData { assetBackfillStatuses { ... on AssetPartitionsStatusCounts {
        numPartitionsTargeted numPartitionsInProgress numPartitionsMaterialized numPartitionsFailed
    } } }
} } }"""


@pytest.fixture(scope="module")
def loaded(java: Java, spark: SparkSession) -> Iterator[Settings]:
    """A lake with a week of history, and Dagster's processes on its last layer."""
    with fresh_settings() as settings:
        processes = dagster_processes.components(settings, java, DEFINITIONS)
        with running(settings, postgres.component(settings)):
            prepare_database(settings)
            load_week(settings)
            ensure_table(spark, settings.lake_root, RECOMPUTED)
            with running(settings, *(each for stage in processes for each in stage)):
                yield settings


def load_week(settings: Settings) -> None:
    """Write the week as a user would have it, and load it by the command."""
    start = datetime(START.year, START.month, START.day, tzinfo=UTC).timestamp()
    world = World(3, 40, 40, settings.token_key())
    timeline = Timeline(world, Plan(700 / (len(DAYS) * 86_400), 3, fraud_share=0.2, run_id="week"))
    emissions = timeline.emissions(start, start + len(DAYS) * 86_400)
    file = settings.data_dir / "week.jsonl"
    file.write_bytes(b"".join(e.value + b"\n" for e in emissions if e.topic == "transactions"))
    command = [sys.executable, "-m", "medallion_services", "history", "load", str(file)]
    environment = stack_environment(settings)
    done = subprocess.run(command, env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def most_at_once(settings: Settings) -> int:
    """The most runs that ever ran together."""
    query = "{ runsOrError { ... on Runs { results { startTime endTime } } } }"
    runs: list[dict[str, float]] = graphql(settings, query)["runsOrError"]["results"]
    return max(sum(r["startTime"] <= each["startTime"] < r["endTime"] for r in runs) for each in runs)


def limits(settings: Settings) -> Any:
    """How many runs of each pool there may be at once."""
    return graphql(settings, LIMITS)["instance"]["concurrencyLimits"]


def test_a_backfill_tells_its_progress_and_one_failed_day_stops_no_other(loaded: Settings) -> None:
    # A file where the day's directory should be: this day cannot be written, and no other day notices.
    directory = f"{location(loaded.lake_root, RECOMPUTED)}/event_date={BLOCKED}"
    with open(directory, "x", encoding="utf-8"):
        pass
    eventually("the limit is known", lambda: {"concurrencyKey": POOL, "slotCount": 1} in limits(loaded), 120)
    launched = graphql(loaded, LAUNCH, days=list(DAYS))["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    seen: list[tuple[int, int, int]] = []
    deadline = time.monotonic() + 1800
    while not seen or seen[-1][1] + seen[-1][2] < len(DAYS):
        assert time.monotonic() < deadline, seen
        time.sleep(2)
        backfill = graphql(loaded, PROGRESS, id=launched["backfillId"])["partitionBackfillOrError"]
        (counts,) = backfill["assetBackfillData"]["assetBackfillStatuses"]
        assert counts["numPartitionsTargeted"] == len(DAYS)
        now = tuple(counts[f"numPartitions{name}"] for name in ("InProgress", "Materialized", "Failed"))
        if now not in seen:
            seen.append(now)
    assert seen[-1][1:] == (len(DAYS) - 1, 1)
    assert most_at_once(loaded) == 1
    assert any(0 < materialized < len(DAYS) - 1 for _, materialized, _ in seen), "no progress was to be seen"
    days = {str(row["event_date"]) for row in lake_rows(loaded, RECOMPUTED.full_name, ["event_date"])}
    assert days == set(DAYS) - {BLOCKED}
    made = graphql(loaded, MADE)["assetOrError"]["assetMaterializations"]
    told = [{entry["label"]: entry.get("intValue") for entry in each["metadataEntries"]} for each in made]
    assert len(told) == len(DAYS) - 1
    assert all(each["decisions"] > 0 for each in told), "the job reports what it wrote"
    query = "{ runsOrError(filter: {statuses: [FAILURE]}) { ... on Runs { results { tags { key value } } } } }"
    failed = graphql(loaded, query)["runsOrError"]["results"]
    tags = {each["key"]: each["value"] for run in failed for each in run["tags"]}
    assert tags["dagster/partition"] == BLOCKED

"""History from files, then life: the alert lane begins with what the files told, and decides as the batch does."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from fraud_domain.settings import AlertLane, Settings
from medallion_assets.defs.history.reconcile import differences, lane_began
from medallion_assets.defs.quality.lake_sql import lake_sql, rows
from medallion_assets.platform import Platform
from medallion_assets_tests.pipeline import AVAILABLE_NOW, drain
from medallion_services.embedded import kafka, postgres
from medallion_services.embedded.java import Java
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.throwaway import fresh_settings, running
from medallion_services.generator.producer import KafkaSink
from medallion_services.generator.timeline import Emission, Plan, Timeline
from medallion_services.generator.world import World
from spark_jobs.batch import Days, rule_set
from spark_jobs.history_gold import load_decisions
from spark_jobs.history_load import plan, source_files
from spark_jobs.medallion_bronze import load_bronze
from spark_jobs.medallion_gold import recompute
from spark_jobs.medallion_silver import load_silver

BEFORE, LIVE = 4, 2
"""Days in files, and days by Kafka."""
START = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=BEFORE + LIVE)
FIRST_LIVE = START.date() + timedelta(days=BEFORE)


@pytest.fixture(scope="module", params=AlertLane)
def platform(
    request: pytest.FixtureRequest, spark: SparkSession, java: Java, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """Four days loaded from files, two days judged live; between them the lane is stopped and started."""
    with (
        fresh_settings(streams=AVAILABLE_NOW | {"alert_lane": request.param}, kafka={"partitions": 1}) as settings,
        running(settings, postgres.component(settings)),
        running(settings, kafka.component(settings, java)),
    ):
        prepare_database(settings)
        world = World(5, 30, 30, settings.token_key())
        timeline = Timeline(world, Plan(1_500 / ((BEFORE + LIVE) * 86_400), 5, fraud_share=0.3, run_id="s"))
        load(spark, settings, day(timeline, 0, BEFORE), tmp_path_factory.mktemp("files"))
        for number in range(BEFORE, BEFORE + LIVE):
            send(settings, day(timeline, number, number + 1))
            drain(spark, settings, "alerts")
        drain(spark, settings, "bronze", "silver", "gold")
        yield Platform(settings)


def day(timeline: Timeline, first: int, end: int) -> list[Emission]:
    """What happens on some days."""
    start = START.timestamp()
    return list(timeline.emissions(start + first * 86_400, start + end * 86_400))


def load(spark: SparkSession, settings: Settings, emissions: list[Emission], folder: Path) -> None:
    """Bring transactions into the lake as `medallion history load` does."""
    lines = [each.value + b"\n" for each in emissions if each.topic == "transactions"]
    (folder / "before.jsonl").write_bytes(b"".join(lines))
    made = plan("before", source_files(folder))
    load_bronze(spark, settings, made)
    load_silver(spark, settings, made)
    load_decisions(spark, settings, made, rule_set(settings))


def send(settings: Settings, emissions: list[Emission]) -> None:
    """What is known about a subject first, as the batch takes it."""
    with KafkaSink(settings) as sink:
        for each in sorted(emissions, key=lambda e: e.topic == "transactions"):
            sink.send(each)
        sink.flush()


def again(spark: SparkSession, settings: Settings, look_back_days: int) -> None:
    """Decide the live days again in batch."""
    days = Days(FIRST_LIVE, FIRST_LIVE + timedelta(days=LIVE))
    recompute(spark, settings, days, rule_set(settings), look_back_days)


def unlike(platform: Platform, day: date) -> list[str]:
    """Reasons for which live decisions of a day differ from the batch's."""
    with lake_sql(platform) as lake, platform.database() as database:
        return [each.why for each in differences(lake, day, lane_began(database))]


def test_the_first_live_days_are_judged_with_what_files_told(platform: Platform, spark: SparkSession) -> None:
    again(spark, platform.settings, 120)
    live = [FIRST_LIVE + timedelta(days=number) for number in range(LIVE)]
    assert [unlike(platform, each) for each in live] == [[], []]
    query = "SELECT count(*), count(*) FILTER (alert) FROM gold.fraud_decisions WHERE event_date >= ?"
    with lake_sql(platform) as lake:
        decided, alerts = rows(lake, query, FIRST_LIVE)[0]
    assert decided > 400
    assert alerts > 10
    # Without the days before, the batch itself comes to other decisions: the comparison is worth something.
    again(spark, platform.settings, 0)
    assert any("unexplained" in why for each in live for why in unlike(platform, each))

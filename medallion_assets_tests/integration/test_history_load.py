"""Months from files: nothing lost, nothing doubled, whether loaded once, twice or killed in between."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from pyspark.sql import DataFrame, SparkSession

from fraud_domain.settings import Settings
from fraud_domain.streams import stream
from fraud_domain.tables import TableSpec, table
from medallion_assets.defs.quality.invariants import INVARIANTS
from medallion_assets.defs.quality.lake_sql import lake_sql
from medallion_assets.defs.quality.view import View
from medallion_assets.platform import Platform
from medallion_assets_tests.pipeline import database
from medallion_services.embedded.throwaway import own_database
from medallion_services.generator.noise import Noise
from medallion_services.generator.timeline import Plan, Timeline
from medallion_services.generator.world import World
from medallion_services.history_name import load_name
from spark_jobs import history_gold, history_load, medallion_bronze, medallion_silver
from spark_jobs.batch import rule_set
from spark_jobs.history_gold import load_decisions, load_metrics, windows_of
from spark_jobs.history_load import Load, plan, source_files
from spark_jobs.medallion_bronze import load_bronze
from spark_jobs.medallion_silver import load_silver
from spark_jobs.medallion_to_postgres import load_marts
from spark_jobs.rebased_rows import require_checkpoint

ROWS_PER_FILE = 400
START = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
DAYS = 4
# When it was read and written differs between two loads of the same rows; nothing else may.
TABLES = {
    "bronze.transactions": "* EXCLUDE (ingested_at, ingest_date)",
    "silver.transactions": "* EXCLUDE (ingested_at)",
    "silver.quarantine": "* EXCLUDE (ingested_at, ingest_date)",
    "silver.late_transactions": "*",
    "gold.fraud_decisions": "*",
    "gold.transaction_metrics_minute": "*",
    "gold.transaction_metrics_hour": "*",
    "gold.customer_profiles": "*",
    "gold.merchant_profiles": "*",
}


@dataclass(frozen=True, slots=True)
class Scene:
    """Files, what they hold, and a database to write into."""

    settings: Settings
    load: Load
    kinds: Counter[str]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    source = tmp_path_factory.mktemp("history")
    with own_database() as settings:
        noise = Noise(duplicates=0.05, malformed=0.05)
        world = World(5, 40, 40, settings.token_key())
        timeline = Timeline(world, Plan(1_500 / (DAYS * 86_400), 5, fraud_share=0.3, run_id="h", noise=noise))
        sent = [e for e in timeline.emissions(START, START + DAYS * 86_400) if e.topic == "transactions"]
        for number in range(0, len(sent), ROWS_PER_FILE):
            lines = b"".join(e.value.replace(b"\n", b" ") + b"\n" for e in sent[number : number + ROWS_PER_FILE])
            (source / f"{number:06d}.jsonl").write_bytes(lines)
        files = source_files(source)
        load = plan(load_name(source), files, chunk_bytes=sum(file.stat().st_size for file in files) * 2 // 3)
        assert len(load.chunks) == 2
        yield Scene(settings, load, Counter(e.truth.kind for e in sent))


def elsewhere(scene: Scene, folder: Path) -> Settings:
    """The same database, another lake."""
    return Settings.model_validate(scene.settings.model_dump() | {"lake_uri": str(folder / "lake")})


def run_lake(spark: SparkSession, settings: Settings, load: Load) -> None:
    """Every stage that writes to the lake."""
    load_bronze(spark, settings, load)
    load_silver(spark, settings, load)
    with windows_of(spark, settings, load) as windows:
        load_metrics(spark, settings, load, windows)
    load_decisions(spark, settings, load, rule_set(settings))


def marts_take(spark: SparkSession, scene: Scene) -> bool:
    """Whether the load was new to the marts."""
    with windows_of(spark, scene.settings, scene.load) as windows:
        return load_marts(scene.settings, scene.load, windows)


def contents(settings: Settings) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, sorted; without the moment of writing."""
    queries = {name: f"SELECT {what} FROM {name} ORDER BY ALL" for name, what in TABLES.items()}  # noqa: S608
    with lake_sql(Platform(settings)) as lake:
        return {name: lake.execute(query).fetchall() for name, query in queries.items()}


@pytest.fixture(scope="module")
def loaded(scene: Scene, spark: SparkSession) -> dict[str, list[tuple[object, ...]]]:
    """The tables after one undisturbed load."""
    run_lake(spark, scene.settings, scene.load)
    assert marts_take(spark, scene)
    return contents(scene.settings)


def count(lake: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(lake.execute(query).fetchall()[0][0])


def test_every_line_is_in_silver_in_quarantine_or_a_duplicate(scene: Scene, loaded: dict[str, list[object]]) -> None:
    kinds = scene.kinds
    assert kinds["duplicate"] > 20
    assert kinds["malformed"] > 20
    assert len(loaded["bronze.transactions"]) == sum(kinds.values())
    assert len(loaded["silver.transactions"]) == kinds["event"]
    assert len(loaded["silver.quarantine"]) == kinds["malformed"]
    with lake_sql(Platform(scene.settings)) as lake:
        lines = sum(len(file.read_bytes().splitlines()) for file in scene.load.files)
        assert count(lake, 'SELECT count(DISTINCT (partition, "offset")) FROM bronze.transactions') == lines
        first = lake.execute('SELECT value FROM bronze.transactions WHERE partition = 1 AND "offset" = 3').fetchall()
    assert bytes(first[0][0]) == scene.load.files[1].read_bytes().splitlines()[3]


def test_invariants_hold_over_loaded_rows(scene: Scene, loaded: object) -> None:
    platform = Platform(scene.settings)
    names = ("silver.transactions", "gold.fraud_decisions", "mart.transaction_metrics_hour", "bronze.transactions")
    with lake_sql(platform) as lake, platform.database() as connection:
        view = View(platform, lake, connection, datetime.now(UTC) + timedelta(hours=1))
        for name in names:
            # There is no broker here, so nothing that bronze could lack.
            for check, invariant in ((c, i) for c, i in INVARIANTS[name].items() if c != "reaches_kafka"):
                finding = invariant(view)
                assert finding.passed, (name, check, finding.text)


def test_the_same_load_again_changes_nothing(
    scene: Scene, spark: SparkSession, loaded: dict[str, list[tuple[object, ...]]]
) -> None:
    with database(scene.settings) as connection:
        before = connection.execute("SELECT * FROM mart.transaction_metrics_hour ORDER BY 1, 2, 3, 4").fetchall()
    run_lake(spark, scene.settings, scene.load)
    assert not marts_take(spark, scene)
    assert contents(scene.settings) == loaded
    with database(scene.settings) as connection:
        after = connection.execute("SELECT * FROM mart.transaction_metrics_hour ORDER BY 1, 2, 3, 4").fetchall()
    assert before == after
    assert sum(row["transactions"] for row in after if row["dimension"] == "all") == scene.kinds["event"]


class Killed(RuntimeError):
    """Stands for the end of the process."""


# After one chunk of bronze; between silver and quarantine of the first chunk.
@pytest.mark.parametrize("survived", [1, 3])
def test_a_load_that_ended_anywhere_is_made_whole_by_running_it_again(
    survived: int,
    scene: Scene,
    spark: SparkSession,
    loaded: dict[str, list[tuple[object, ...]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = elsewhere(scene, tmp_path)
    writes = 0

    def until_killed(frame: DataFrame, lake: str, spec: TableSpec, load: Load, version: int) -> None:
        nonlocal writes
        if writes == survived:
            raise Killed
        history_load.append_history(frame, lake, spec, load, version)
        writes += 1

    with monkeypatch.context() as patch:
        for module in (medallion_bronze, medallion_silver, history_gold):
            patch.setattr(module, "append_history", until_killed)
        with pytest.raises(Killed):
            run_lake(spark, settings, scene.load)
    run_lake(spark, settings, scene.load)
    assert contents(settings) == loaded


def test_the_name_of_a_load_is_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n")
    name = load_name(tmp_path)
    (tmp_path / "b.jsonl").write_text("{}\n")
    assert load_name(tmp_path) != name
    (tmp_path / "b.jsonl").unlink()
    assert load_name(tmp_path) == name


def test_a_directory_without_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no JSON Lines files"):
        source_files(tmp_path)


def test_a_stream_may_start_for_the_first_time_after_a_load(scene: Scene, loaded: object, spark: SparkSession) -> None:
    """What came from files is no sign of a lost checkpoint."""
    for name, query in (("silver", "transactions"), ("gold", "decisions")):
        spec = table("silver.transactions" if name == "silver" else "gold.fraud_decisions")
        assert require_checkpoint(spark, scene.settings, stream(name), query, spec) is None


def test_history_is_no_news_to_the_streams(scene: Scene, loaded: object, spark: SparkSession) -> None:
    """A stream that reads silver while a load writes to it sees none of its rows."""
    path = f"{scene.settings.lake_root}/silver/transactions"
    log = sorted(Path(path, "_delta_log").glob("*.json"))
    added = [json.loads(line)["add"] for file in log for line in file.read_text().splitlines() if '"add":' in line]
    assert added
    assert not any(each["dataChange"] for each in added)
    assert table("silver.transactions").key == ("transaction_id",)

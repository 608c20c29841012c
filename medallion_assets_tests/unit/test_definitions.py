"""The code location is whole: everything the registries promise is there, and loading it needs nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from fraud_domain.rules import load_catalogue
from fraud_domain.settings import PROJECT_ROOT, Layout, Settings
from fraud_domain.streams import STREAMS, applications
from fraud_domain.tables import BATCH, TABLES, Store, TableSpec, delta_tables, table
from fraud_domain.topics import ACCOUNT_EVENTS, FRAUD_LABELS, TOPICS, TRANSACTIONS
from medallion_assets.definitions import build_defs
from medallion_assets.defs.quality.invariants import INVARIANTS
from medallion_assets.defs.quality.rule_coverage import BUDGET_CHECK, check_name, typology_check_name
from medallion_assets.specs import asset_key
from spark_jobs.streaming_application import STARTS

CATALOGUE = load_catalogue(Settings().rules.directory)


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_defs(Settings())


@pytest.fixture(scope="module")
def graph(definitions: dg.Definitions) -> AssetGraph:
    return definitions.resolve_asset_graph()


_LOADS = """
import json, sys
from medallion_assets.definitions import defs
loaded = defs()
import dagster as dg
dg.Definitions.validate_loadable(loaded)
keys = sorted("/".join(key.path) for key in loaded.resolve_asset_graph().get_all_asset_keys())
print(json.dumps({"keys": keys, "pyspark": "pyspark" in sys.modules, "kafka": "confluent_kafka" in sys.modules}))
"""


def test_definitions_load_in_a_fresh_interpreter_without_environment_servers_or_spark(tmp_path: Path) -> None:
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", _LOADS], env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout.splitlines()[-1])
    tables = [f"{t.layer}/{t.name}" for t in TABLES]
    assert said["keys"] == sorted([f"kafka/{t.name}" for t in TOPICS] + tables + ["gold/backtest_daily"])
    assert not said["pyspark"]
    assert not said["kafka"]


@pytest.mark.parametrize("spec", TABLES, ids=lambda spec: spec.full_name)
def test_every_table_is_an_asset_as_the_registry_describes_it(graph: AssetGraph, spec: TableSpec) -> None:
    node = graph.get(asset_key(spec.full_name))
    assert node.owners == [spec.owner]
    assert node.group_name == spec.layer
    assert node.kinds
    assert node.description == spec.description
    schema = node.metadata["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchema)
    columns = [(c.name, c.type, c.description, c.constraints.nullable) for c in schema.columns]
    assert columns == [(c.name, c.type, c.description, c.nullable) for c in spec.columns]
    assert node.parent_keys == {asset_key(name) for name in spec.upstream}
    assert node.is_executable == (spec.stream == BATCH), "what streams write Dagster only observes"
    assert (node.freshness_policy is not None) == (spec.fresh_within_minutes is not None)


def test_lineage_reaches_from_kafka_to_the_marts(graph: AssetGraph) -> None:
    reached: set[dg.AssetKey] = set()
    open_keys = {dg.AssetKey(["kafka", topic]) for topic in (TRANSACTIONS, FRAUD_LABELS, ACCOUNT_EVENTS)}
    while open_keys:
        reached |= open_keys
        open_keys = {child for key in open_keys for child in graph.get(key).child_keys} - reached
    for spec in TABLES:
        assert asset_key(spec.full_name) in reached, spec.full_name


@pytest.mark.parametrize("spec", delta_tables(), ids=lambda spec: spec.full_name)
def test_every_table_of_the_lake_has_blocking_checks(graph: AssetGraph, spec: TableSpec) -> None:
    names = {key.name for key in graph.get_check_keys_for_assets({asset_key(spec.full_name)})}
    assert {"schema_matches", "key_is_unique", "required_columns_filled", "no_card_numbers"} <= names
    assert set(INVARIANTS.get(spec.full_name, {})) <= names


def test_every_check_blocks_and_says_what_it_promises(definitions: dg.Definitions) -> None:
    specs = [s for checks in definitions.asset_checks or () for s in checks.check_specs]
    assert specs
    assert [s.name for s in specs if not s.blocking] == []


def test_invariants_are_about_tables_of_the_registry() -> None:
    assert set(INVARIANTS) <= {spec.full_name for spec in TABLES}


def test_every_rule_has_a_coverage_check_named_after_it(graph: AssetGraph) -> None:
    names = {key.name for key in graph.get_check_keys_for_assets({asset_key("alerts.alerts")})}
    assert check_name("VEL-1") == "rule_vel_1_coverage"
    assert {name for name in names if name.startswith("rule_")} == {check_name(rule.id) for rule in CATALOGUE.rules}
    reachable = {typology_check_name(typology.id) for typology in CATALOGUE.typologies}
    assert {name for name in names if name.startswith("typology_")} == reachable
    assert BUDGET_CHECK in names
    assert len({check_name(rule.id) for rule in CATALOGUE.rules}) == len(CATALOGUE.rules)


def test_broken_rule_file_stops_the_code_location_with_its_place(tmp_path: Path) -> None:
    for file in CATALOGUE_FILES:
        (tmp_path / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "billing_error.yaml").write_text("typology: {id: billing_error}\n", encoding="utf-8")
    settings = Settings()
    changed = settings.model_copy(update={"rules": settings.rules.model_copy(update={"directory": tmp_path})})
    with pytest.raises(Exception, match=r"billing_error\.yaml"):
        build_defs(changed)


CATALOGUE_FILES = sorted(Settings().rules.directory.glob("*.yaml"))


@pytest.mark.parametrize("job", ["data_quality", "rule_coverage"])
def test_jobs_of_the_gate_exist_and_are_scheduled(definitions: dg.Definitions, job: str) -> None:
    assert definitions.resolve_job_def(job).name == job
    scheduled = [s.job_name for s in definitions.schedules or () if isinstance(s, dg.ScheduleDefinition)]
    assert job in scheduled


@pytest.mark.parametrize("layout", Layout)
def test_every_stream_runs_in_exactly_one_application(layout: Layout) -> None:
    packed = [name for application in applications(layout) for name in application.stream_names]
    assert sorted(packed) == sorted(stream.name for stream in STREAMS)


@pytest.mark.parametrize("layout", Layout)
def test_every_application_has_a_job_and_a_guard_that_runs_by_default(layout: Layout) -> None:
    settings = Settings()
    streams = settings.streams.model_copy(update={"layout": layout})
    made = build_defs(settings.model_copy(update={"streams": streams}))
    for application in applications(layout):
        assert made.resolve_job_def(f"run_{application.name}_streams")
        guard = made.resolve_sensor_def(f"{application.name}_streams_guard")
        assert guard.default_status is dg.DefaultSensorStatus.RUNNING
    assert made.resolve_sensor_def("table_observer").default_status is dg.DefaultSensorStatus.RUNNING


def test_registry_and_scripts_know_the_same_streams() -> None:
    scripts = {path.name for path in (PROJECT_ROOT / "spark_jobs").glob("streaming_*.py")}
    assert {stream.script for stream in STREAMS} == scripts - {"streaming_application.py"}
    assert set(STARTS) == {stream.name for stream in STREAMS}


def test_every_table_is_written_by_one_stream_of_the_registry() -> None:
    written = [spec.full_name for stream in STREAMS for spec in stream.tables]
    assert sorted(written) == sorted(spec.full_name for spec in TABLES if spec.stream != BATCH)
    assert table("alerts.alerts").store is Store.POSTGRES

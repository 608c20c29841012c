"""How the doctor judges: installation, machine, files, stores."""

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_services.checkpoints.doctor import Diagnosis
from medallion_services.checkpoints.judging import Finding as Damage
from medallion_services.checkpoints.judging import Remedy, Sinks
from medallion_services.checkpoints.reading import read_checkpoint
from medallion_services.cli import app
from medallion_services.doctor import files, installation, machine, stores
from medallion_services.doctor.examine import claims
from medallion_services.doctor.finding import Level, healthy, ok, problem, warning
from medallion_services.embedded import jars
from medallion_services.embedded.java import Java, find_java
from medallion_services.embedded.ports import PortClaim
from medallion_services.embedded.secrets import ADMIN
from medallion_services.embedded.stack import build_stages
from medallion_services.embedded.throwaway import fresh_settings
from medallion_services.embedded.up import make_directories

GIB = 1024**3
LOCK = """
[[package]]
name = "medallion-fraud"
source = { editable = "." }
dependencies = [{ name = "pyspark" }, { name = "rich" }]

[[package]]
name = "pyspark"
version = "4.2.0"

[[package]]
name = "rich"
version = "14.0.0"

[[package]]
name = "rich"
version = "13.9.4"
"""
CLAIM = PortClaim(5632, "MEDALLION_POSTGRES__PORT")


def test_only_problems_make_an_installation_unsound() -> None:
    assert healthy([ok("a", "x"), warning("b", "y", "do")])
    assert not healthy([ok("a", "x"), problem("b", "y", "do")])


def test_pythons_are_those_that_the_project_requires() -> None:
    wanted = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    first, last = installation.PYTHONS[0], installation.PYTHONS[-1]
    assert wanted == f">={first[0]}.{first[1]},<{last[0]}.{last[1] + 1}"
    assert installation.judge_python((3, 12)).level is Level.OK
    assert installation.judge_python((3, 10)).level is Level.PROBLEM
    assert installation.judge_python((3, 14)).level is Level.PROBLEM


@pytest.mark.parametrize(
    ("installed", "levels"),
    [
        ({"pyspark": "4.2.0", "rich": "13.9.4"}, [Level.OK]),
        ({"pyspark": "4.1.0", "rich": "14.0.0"}, [Level.PROBLEM]),
        ({"pyspark": "4.2.0", "rich": "12.0.0"}, [Level.WARNING]),
        ({"pyspark": "4.2.0", "rich": None}, [Level.PROBLEM]),
        ({"pyspark": None, "rich": "12.0.0"}, [Level.PROBLEM, Level.WARNING]),
    ],
)
def test_packages_are_compared_with_the_lock(installed: dict[str, str | None], levels: list[Level]) -> None:
    found = installation.judge_packages(installation.read_locked(LOCK), installed)
    assert [each.level for each in found] == levels


def test_the_projects_own_lock_can_be_read_and_names_the_engines() -> None:
    locked = installation.read_locked((PROJECT_ROOT / "uv.lock").read_text(encoding="utf-8"))
    assert {"pyspark", "delta-spark", "dagster"} <= set(locked.direct)
    with pytest.raises(ValueError, match="medallion-fraud"):
        installation.read_locked("")


def test_java_and_jars() -> None:
    assert installation.judge_java(Java(Path("/opt/java"), 21, "Java 21 from PATH")).level is Level.OK
    assert installation.judge_java("no usable Java").level is Level.PROBLEM
    assert installation.judge_jars(3, ()).level is Level.OK
    missing = installation.judge_jars(3, ("b.jar", "a.jar"))
    assert missing.level is Level.WARNING
    assert "2 of 3" in missing.what
    assert "a.jar" in missing.what
    assert installation.judge_jars(0, (), "x.jar is not the jar that was locked").level is Level.PROBLEM


@pytest.mark.parametrize(
    ("holder", "level"),
    [
        (None, Level.OK),
        (machine.Holder(7, "postgres"), Level.OK),
        (machine.Holder(8, "nginx"), Level.PROBLEM),
        (machine.Holder(None, ""), Level.PROBLEM),
    ],
)
def test_a_port_is_free_ours_or_taken(holder: machine.Holder | None, level: Level) -> None:
    found = machine.judge_port("PostgreSQL", CLAIM, holder, {7})
    assert found.level is level
    assert (CLAIM.variable in found.advice) == (level is Level.PROBLEM)


@pytest.mark.parametrize(
    ("free", "level"),
    [(GIB - 1, Level.PROBLEM), (GIB, Level.WARNING), (5 * GIB - 1, Level.WARNING), (5 * GIB, Level.OK)],
)
def test_disk_is_judged_by_what_is_free(free: int, level: Level) -> None:
    assert machine.judge_disk("/data", free).level is level


def test_heap_is_that_of_every_jvm_of_the_configuration() -> None:
    two = Settings(spark={"driver_memory": "2g"}, kafka={"heap_mb": 512}, streams={"layout": "two"})
    assert machine.heap_bytes(two) == 2 * 2 * GIB + GIB // 2
    shared = Settings(
        spark={"driver_memory": "512m"}, kafka={"bootstrap_servers": "k:9092"}, streams={"layout": "shared"}
    )
    assert machine.heap_bytes(shared) == GIB // 2


@pytest.mark.parametrize(
    ("available", "running", "level"),
    [
        (2 * GIB - 1, False, Level.PROBLEM),
        (2 * GIB, False, Level.WARNING),
        (4 * GIB, False, Level.OK),
        (GIB, True, Level.OK),
    ],
)
def test_memory_is_judged_by_what_a_start_would_take(available: int, running: bool, level: Level) -> None:
    assert machine.judge_memory(available, 2 * GIB, running).level is level


@pytest.mark.parametrize(
    ("drift", "uncertainty", "level"),
    [
        (0.2, 0.01, Level.OK),
        (-1.0, 0.01, Level.OK),
        (3.0, 4.0, Level.OK),
        (1.1, 0.01, Level.WARNING),
        (-300.0, 0.01, Level.WARNING),
        (-300.1, 0.01, Level.PROBLEM),
    ],
)
def test_clocks_may_differ_by_less_than_latency_means_something(drift: float, uncertainty: float, level: Level) -> None:
    assert machine.judge_clock(drift, uncertainty, tolerance=300).level is level


def test_a_message_from_the_future_accuses_a_producers_clock() -> None:
    assert machine.judge_newest(-3600, 300).level is Level.OK
    assert machine.judge_newest(1.5, 300).level is Level.WARNING
    assert machine.judge_newest(301, 300).level is Level.PROBLEM


@pytest.mark.parametrize(("mode", "sound"), [(0o600, True), (0o700, True), (0o640, False), (0o604, False)])
def test_secrets_are_for_their_owner_only(mode: int, sound: bool) -> None:
    assert (files.judge_private(files.FileFacts("s", mode, 1000), 1000) is None) is sound


def test_files_of_another_user_are_a_problem() -> None:
    private = files.judge_private(files.FileFacts("s", 0o600, 0), 1000)
    assert private is not None
    assert private.level is Level.PROBLEM
    assert files.judge_data_dir(files.FileFacts("d", 0o700, 0), 1000).level is Level.PROBLEM


@pytest.mark.parametrize(("mode", "level"), [(0o700, Level.OK), (0o711, Level.OK), (0o722, Level.PROBLEM)])
def test_nobody_else_writes_to_the_data_directory(mode: int, level: Level) -> None:
    assert files.judge_data_dir(files.FileFacts("d", mode, 1000), 1000).level is level


def test_a_lost_secret_is_grave_only_where_data_was_made_with_it() -> None:
    wanted = (ADMIN, "token_key_k1", "postgres_dagster")
    assert [each.level for each in files.judge_missing(wanted, (), has_data=False)] == [Level.WARNING] * 3
    found = {each.what.split()[0]: each.level for each in files.judge_missing(wanted, (), has_data=True)}
    assert found == {ADMIN: Level.PROBLEM, "token_key_k1": Level.PROBLEM, "postgres_dagster": Level.WARNING}
    assert files.judge_missing(wanted, wanted, has_data=True) == ()


def test_a_server_must_answer_only_where_it_is_expected_to() -> None:
    assert stores.judge_database("h:1", "", expected=True).level is Level.OK
    assert stores.judge_database("h:1", "refused", expected=False).level is Level.OK
    assert stores.judge_database("h:1", "refused", expected=True).level is Level.PROBLEM
    assert stores.judge_kafka("h:1", "nothing listens there", expected=True).level is Level.PROBLEM
    assert stores.judge_kafka("h:1", "nothing listens there", expected=False).level is Level.OK


def test_a_table_that_cannot_be_read_is_named() -> None:
    (fine,) = stores.judge_lake("/lake", {"bronze.a": "", "bronze.b": stores.ABSENT})
    assert fine.level is Level.OK
    assert "1 of 2" in fine.what
    (bad,) = stores.judge_lake("/lake", {"bronze.a": "", "bronze.b": "permission denied"})
    assert bad.level is Level.PROBLEM
    assert "bronze.b" in bad.what


def test_a_damaged_checkpoint_is_named_with_the_command_that_helps(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(tmp_path / "none")
    whole = Diagnosis("silver.labels", checkpoint, Sinks(), [])
    damage = Damage(tmp_path, "the query id is empty", "Spark refuses to start", Remedy.REBASE)
    broken = Diagnosis("silver.transactions", checkpoint, Sinks(), [damage])
    (fine,) = stores.judge_checkpoints([whole], [])
    assert fine.level is Level.OK
    bad, left = stores.judge_checkpoints([whole, broken], ["alerts"])
    assert bad.level is Level.PROBLEM
    assert "`medallion checkpoint rebase silver.transactions`" in bad.advice
    assert left.level is Level.OK
    assert "alerts" in left.what


def test_ports_are_those_that_the_components_claim() -> None:
    with fresh_settings() as settings:
        stages = build_stages(settings, find_java(settings))
        claimed = {claim for stage in stages for component in stage for claim in component.ports}
        assert {claim for _, claim in claims(settings)} == claimed


def test_the_doctor_can_be_asked_before_the_first_start_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = tmp_path / "not" / "yet"
    monkeypatch.setenv("MEDALLION_DATA_DIR", str(data_dir))
    answer = CliRunner().invoke(app, ["doctor", "--json"])
    document = json.loads(answer.stdout)
    assert answer.exit_code == (0 if document["healthy"] else 1)
    subjects = {each["subject"] for each in document["findings"]}
    assert {"python", "packages", "java", "jars", "disk", "memory", "data directory", "database", "lake"} <= subjects
    assert not data_dir.exists()


def test_a_secret_that_others_may_read_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh_settings() as settings:
        make_directories(settings)
        (settings.secrets_dir / ADMIN).chmod(0o644)
        monkeypatch.setenv("MEDALLION_DATA_DIR", str(settings.data_dir))
        answer = CliRunner().invoke(app, ["doctor"])
        assert answer.exit_code == 1
        assert f"{ADMIN} has mode 0644" in answer.output
        assert settings.secret(ADMIN) not in answer.output


def test_a_jar_that_differs_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = jars.read_lock()["spark"][0]
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / locked.file).write_bytes(b"not a jar")
    monkeypatch.setenv("MEDALLION_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("MEDALLION_DATA_DIR", str(tmp_path / "data"))
    answer = CliRunner().invoke(app, ["doctor", "--json"])
    (found,) = (each for each in json.loads(answer.stdout)["findings"] if each["subject"] == "jars")
    assert answer.exit_code == 1
    assert locked.file in found["what"]

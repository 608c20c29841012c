"""The container files, read but never run: pinned images, loopback ports, settings and paths that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_assets_tests.pages import setting_names
from medallion_services.cli import app
from medallion_services.database.prepare import ADMIN
from medallion_services.embedded.jars import read_lock
from medallion_services.embedded.ports import free_ports

COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (PROJECT_ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
services = pytest.mark.parametrize("name", SERVICES)
SECRET_PLACES = ("/run/secrets/", "/run/handover/")
OURS = [name for name, service in SERVICES.items() if "build" in service]


def test_images_are_pinned() -> None:
    images = [service["image"] for service in SERVICES.values()] + re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    for image in images:
        assert re.fullmatch(r"[a-z0-9/-]+:(v?\d+\.\d+(\.\d+)?(-[a-z]+)*|RELEASE\.[0-9TZ-]+)", image), image


def test_brokers_version_is_the_locked_one() -> None:
    (locked,) = [jar.coordinate for jar in read_lock()["kafka"] if ":kafka_2.13:" in jar.coordinate]
    assert SERVICES["kafka"]["image"].rpartition(":")[2] == locked.rpartition(":")[2]


@services
def test_ports_are_bound_to_loopback(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), port


@services
def test_every_medallion_variable_is_a_setting(name: str) -> None:
    for variable in SERVICES[name].get("environment", {}):
        assert not variable.startswith("MEDALLION_") or variable in setting_names(), variable


def test_medallion_variables_of_the_image_are_settings() -> None:
    for variable in re.findall(r"\bMEDALLION_[A-Z_]+", DOCKERFILE):
        assert variable in setting_names(), variable


@pytest.mark.parametrize("name", OURS)
def test_values_are_accepted_and_point_at_the_services(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        if value is not None:
            monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value))
    settings = Settings()
    assert settings.postgres_host in SERVICES
    assert settings.kafka_bootstrap.partition(":")[0] in SERVICES
    assert SERVICES[name]["environment"]["DAGSTER_PG_DB"] == settings.postgres.dagster_database


@services
def test_health_is_checked_and_dependencies_exist(name: str) -> None:
    service = SERVICES[name]
    assert "healthcheck" in service or service["restart"] == "no"
    assert set(service.get("depends_on", {})) <= set(SERVICES)


@services
def test_secrets_are_files_and_volumes_are_named(name: str) -> None:
    service = SERVICES[name]
    for variable, value in service.get("environment", {}).items():
        assert not re.search("PASS|SECRET|KEY", variable) or value.startswith(SECRET_PLACES), variable
    for volume in service.get("volumes", []):
        source, _, target = volume.partition(":")
        # Beside named volumes only files of this project, and those cannot be written.
        ours = source.startswith("./deploy/") and target.endswith(":ro") and (PROJECT_ROOT / source).exists()
        assert source in COMPOSE["volumes"] or ours, volume


def test_every_volume_and_secret_is_used() -> None:
    volumes = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert set(COMPOSE["volumes"]) <= volumes
    used = {
        each if isinstance(each, str) else each["source"] for s in SERVICES.values() for each in s.get("secrets", [])
    }
    assert set(COMPOSE["secrets"]) == used


@services
def test_limits_and_time_to_stop_are_given(name: str) -> None:
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]
    assert 0 < float(limits["cpus"]) <= 4
    assert re.fullmatch(r"\d+[mg]", limits["memory"])
    assert re.fullmatch(r"\d+s", service["stop_grace_period"])
    # Ours has tini in its image.
    assert service.get("init") is True or name in OURS
    assert "no-new-privileges:true" in service["security_opt"]


def test_administrators_password_reaches_the_server_and_the_preparation_only() -> None:
    with_it = [name for name, service in SERVICES.items() if ADMIN in str(service.get("secrets"))]
    assert with_it == ["postgres", "prepare"]
    (secret,) = SERVICES["prepare"]["secrets"]
    data_dir = SERVICES["prepare"]["environment"]["MEDALLION_DATA_DIR"]
    assert secret["target"] == f"{data_dir}/secrets/{ADMIN}"


def test_unreachable_database_is_a_message_not_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("MEDALLION_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MEDALLION_POSTGRES__HOST", "127.0.0.1")
    monkeypatch.setenv("MEDALLION_POSTGRES__PORT", str(port))
    without = CliRunner().invoke(app, ["database", "prepare"])
    assert without.exit_code == 1
    assert ADMIN in without.stderr
    (tmp_path / "secrets" / ADMIN).write_text("x", encoding="utf-8")
    unreachable = CliRunner().invoke(app, ["database", "prepare"])
    assert unreachable.exit_code == 1
    assert f"PostgreSQL at 127.0.0.1:{port}" in unreachable.stderr
    assert "Traceback" not in unreachable.stderr


def test_files_that_the_image_copies_exist() -> None:
    for line in re.findall(r"^COPY (?!--)(.+)$", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (PROJECT_ROOT / source).exists(), source

"""The profiles of the container files: schema, settings, secrets, messages of `stack.py`, handover, what they ask."""

import json
import os
import re
import runpy
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from fraud_domain.acceptance import Acceptance
from fraud_domain.contract import LEAKAGE_FIELDS, Transaction
from fraud_domain.object_store import credentials
from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_services.embedded.secrets import ensure_secrets

DEPLOY = PROJECT_ROOT / "deploy"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())["services"]
STACK = runpy.run_path(str(DEPLOY / "stack.py"))
SETTINGS: dict[str, dict[str, str]] = STACK["SETTINGS"]


def test_compose_file_meets_the_compose_schema() -> None:
    tool = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*tool, "docker-compose.yml"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_schema_refuses_a_misspelled_key(tmp_path: Path) -> None:
    file = tmp_path / "docker-compose.yml"
    file.write_text("services: {x: {image: 'a:1.0', helthcheck: {}}}")
    tool = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    assert subprocess.run([*tool, str(file)], capture_output=True, check=False).returncode == 1


def test_profiles_are_those_of_the_compose_file_and_their_files_are_known() -> None:
    assert {name for service in SERVICES.values() for name in service.get("profiles", [])} == set(SETTINGS)
    compose = (PROJECT_ROOT / "docker-compose.yml").read_text()
    made = {name for names in STACK["MADE"].values() for name in names}
    yours = {name for name, _ in STACK["YOURS"].values()}
    assert set(re.findall(r"\./deploy/secrets/([\w.]+)", compose)) == made | yours


def test_without_profile_nothing_of_a_profile_is_needed() -> None:
    for name, service in SERVICES.items():
        for other, condition in service.get("depends_on", {}).items():
            needs = set(SERVICES[other].get("profiles", []))
            assert needs <= set(service.get("profiles", [])) or condition.get("required") is False, f"{name}: {other}"


@pytest.mark.parametrize("profile", SETTINGS)
def test_settings_of_a_profile_are_accepted_given_on_and_lead_to_its_services(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in SETTINGS[profile].items():
        monkeypatch.setenv(variable, value)
        for name, service in SERVICES.items():
            if "build" in service:
                given = service["environment"][variable]
                assert given is None or given.startswith(f"${{{variable}:-"), name
    settings = Settings()
    for address in (settings.s3.endpoint, settings.spark.master):
        host = re.search(r"://([^:/]+)", address)
        assert host is None or profile in SERVICES[host.group(1)]["profiles"]
    assert settings.spark.driver_host in ("", *SERVICES)


def stack(path: str, *profiles: str) -> subprocess.CompletedProcess[str]:
    """Run it with a PATH."""
    return subprocess.run(
        [sys.executable, str(DEPLOY / "stack.py"), *profiles],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_missing_docker_and_an_unknown_profile_are_messages(tmp_path: Path) -> None:
    missing = stack(str(tmp_path), "metabase")
    assert missing.returncode == 1
    assert "docker is not installed. `make up` runs" in missing.stderr
    unknown = stack(str(tmp_path), "metabse")
    assert unknown.returncode == 1
    assert "no profile metabse; there are metabase, " in unknown.stderr
    assert "Traceback" not in missing.stderr + unknown.stderr


def test_a_docker_without_compose_or_engine_and_a_missing_licence_are_messages(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    for answer, said in (("exit 1", "has no compose"), ('[ "$1" != info ]', "has no engine"), ("exit 0", "licence")):
        docker.write_text(f"#!/bin/sh\n{answer}\n")
        docker.chmod(0o755)
        done = stack(str(tmp_path), "shadowtraffic")
        assert done.returncode == 1
        assert said in done.stderr


def test_secrets_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    make = STACK["make_secrets"]
    assert make(["metabase"], tmp_path / "secrets") == ["postgres_admin", "metabase_db"]
    assert make(["metabase"], tmp_path / "secrets") == []
    for file in (tmp_path / "secrets").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
        assert len(file.read_text()) == 48


def prepare(data: Path, volumes: Path, *profiles: str) -> Settings:
    """Run `prepare.py` as the container does; what it leaves is on this disk."""
    for name in ("grafana", "minio"):
        (volumes / name).mkdir(parents=True, exist_ok=True)
    wanted = {"MEDALLION_DATA_DIR": str(data)} | {k: v for name in profiles for k, v in SETTINGS[name].items()}
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in wanted.items():
            patch.setenv(variable, value)
        settings = Settings()
    ensure_secrets(settings)
    done = subprocess.run(
        [sys.executable, str(DEPLOY / "prepare.py"), str(volumes)],
        env=os.environ | wanted | {"PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return settings


def test_each_server_is_handed_its_own_secrets_only(tmp_path: Path) -> None:
    settings = prepare(tmp_path / "data", tmp_path / "volumes")
    handed = {
        str(file.relative_to(tmp_path / "volumes")) for file in (tmp_path / "volumes").rglob("*") if file.is_file()
    }
    assert handed == {"grafana/grafana_admin", "grafana/postgres_fraud_reader"}
    reader = tmp_path / "volumes" / "grafana" / "postgres_fraud_reader"
    assert reader.read_text() == settings.secret("postgres_fraud_reader")
    assert reader.stat().st_mode & 0o777 == 0o600
    assert (settings.run_dir / "spark-conf" / "spark-defaults.conf").exists()


def test_store_and_cluster_get_keys_that_stay(tmp_path: Path) -> None:
    settings = prepare(tmp_path / "data", tmp_path / "volumes", "minio", "spark")
    keys = credentials(settings)
    minio = tmp_path / "volumes" / "minio"
    assert (minio / "minio_root_user").read_text() == keys.key_id
    assert (minio / "minio_root_password").read_text() == keys.secret_key
    cluster = settings.run_dir / "cluster-conf" / "spark-defaults.conf"
    assert cluster.stat().st_mode & 0o777 == 0o600
    assert f"spark.authenticate.secret {settings.secret('spark_auth')}\n" in cluster.read_text()
    drivers = (settings.run_dir / "spark-conf" / "spark-defaults.conf").read_text()
    assert "spark.driver.host code\n" in drivers
    assert keys.secret_key not in drivers
    prepare(tmp_path / "data", tmp_path / "volumes", "minio", "spark")
    assert credentials(settings) == keys


def example(template: Any, variables: dict[str, Any], high: bool) -> Any:
    """What a template of ShadowTraffic may give: its first or last choice, its lower or upper bound."""
    if not isinstance(template, dict):
        return template
    kind = template["_gen"]
    if kind == "var":
        return example(variables[template["var"]], variables, high)
    if kind in ("oneOf", "weightedOneOf"):
        choice = template["choices"][-1 if high else 0]
        return choice["value"] if kind == "weightedOneOf" else choice
    if kind == "normalDistribution":
        return template["clamp"][high]
    if kind == "string":
        return re.sub(r"#\{.*?\}", "7", template["expr"])
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    return {"uuid": "1b671a64-40d5-491e-99b0-da01ff1f3341", "now": now_ms, "boolean": high}[kind]


@pytest.mark.parametrize("high", [False, True])
def test_shadowtraffic_sends_what_the_contract_accepts(high: bool) -> None:
    (generator,) = json.loads((DEPLOY / "shadowtraffic" / "transactions.json").read_text())["generators"]
    assert set(generator["value"]) <= set(Transaction.model_fields)
    assert not set(generator["value"]) & LEAKAGE_FIELDS
    assert generator["topic"] == "transactions"
    # One customer's messages must be in one partition.
    assert generator["key"] == generator["value"]["customer_id"]
    message = {name: example(each, generator["vars"], high) for name, each in generator["value"].items()}
    now_us = int(datetime.now(UTC).timestamp() * 1e6)
    accepted = Acceptance(future_tolerance_us=1_000_000).accept(json.dumps(message).encode(), now_us)
    assert accepted is not None
    assert accepted["customer_id"] == message["customer_id"]


def test_grafana_asks_the_views_as_the_reader() -> None:
    source, prometheus = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/medallion.yaml").read_text())[
        "datasources"
    ]
    assert source["user"] == "fraud_reader"
    assert source["secureJsonData"]["password"] == "$__file{/run/handover/postgres_fraud_reader}"
    assert re.sub(r"https?://", "", prometheus["url"]).split(":")[0] in SERVICES
    known = {source["uid"], prometheus["uid"]}
    dashboard = json.loads((DEPLOY / "grafana/dashboards/streams.json").read_text())
    for panel in dashboard["panels"]:
        assert panel["datasource"]["uid"] in known
        for target in panel["targets"]:
            for name in re.findall(r"FROM ([\w.]+)", target.get("rawSql", "")):
                assert name.startswith("mart.v_")


def test_proxy_and_prometheus_lead_to_services() -> None:
    caddy = (DEPLOY / "caddy" / "Caddyfile").read_text()
    targets = re.findall(r"reverse_proxy ([\w-]+):\d+", caddy)
    assert len(targets) == caddy.count("import people")
    jobs = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    scraped = [target for job in jobs for each in job["static_configs"] for target in each["targets"]]
    for target in [*targets, *(each.partition(":")[0] for each in scraped)]:
        assert target in SERVICES or target == "127.0.0.1"
    listening = set(re.findall(r"^:(\d+) \{", caddy, re.MULTILINE)) - {"8190"}
    assert listening == {port.rpartition(":")[2] for port in SERVICES["proxy"]["ports"]}

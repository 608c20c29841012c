"""The example for Kubernetes, read but never installed: what it asks of Dagster, and which settings it names."""

from typing import Any

import dagster
import pytest
import yaml

from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_assets_tests.pages import setting_names
from medallion_services.database.prepare import ADMIN

FILE = PROJECT_ROOT / "deploy" / "kubernetes" / "values.yaml"
VALUES: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
INSTANCE: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text(encoding="utf-8"))
(CODE,) = VALUES["dagster-user-deployments"]["deployments"]
RUN = VALUES["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
JOB = next(each for each in VALUES["extraManifests"] if each["kind"] == "Job")["spec"]["template"]["spec"]


def test_chart_and_library_are_of_one_version() -> None:
    assert f"--version {dagster.__version__}" in FILE.read_text(encoding="utf-8")


def test_queue_and_monitoring_are_those_of_dagster_yaml() -> None:
    daemon = VALUES["dagsterDaemon"]
    queue = daemon["runCoordinator"]["config"]["queuedRunCoordinator"]
    asked = INSTANCE["concurrency"]["runs"]
    assert queue["maxConcurrentRuns"] == asked["max_concurrent_runs"]
    assert queue["dequeueIntervalSeconds"] == INSTANCE["run_queue"]["dequeue_interval_seconds"]
    assert queue["tagConcurrencyLimits"] == asked["tag_concurrency_limits"]
    seconds = {"startTimeoutSeconds": "start_timeout_seconds", "cancelTimeoutSeconds": "cancel_timeout_seconds"}
    for ours, theirs in seconds.items():
        assert daemon["runMonitoring"][ours] == INSTANCE["run_monitoring"][theirs]
    assert daemon["runRetries"]["maxRetries"] == INSTANCE["run_retries"]["max_retries"]
    assert daemon["sensors"]["numWorkers"] == INSTANCE["sensors"]["num_workers"]


def test_values_are_settings_and_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in CODE["env"]:
        assert variable["name"] in setting_names()
        monkeypatch.setenv(variable["name"], variable.get("value", "10.0.0.1"))
    settings = Settings()
    assert settings.uses_s3
    assert settings.postgres_host == VALUES["postgresql"]["postgresqlHost"]
    assert settings.postgres.dagster_database == VALUES["postgresql"]["postgresqlDatabase"]


def test_code_runs_and_preparation_share_settings_and_files_and_only_the_last_sees_the_administrators_password() -> (
    None
):
    (prepare,) = JOB["containers"]
    assert CODE["env"] == RUN["containerConfig"]["env"] == prepare["env"]
    (data,) = CODE["volumeMounts"]
    assert data["mountPath"] == "/data"
    assert RUN["containerConfig"]["volumeMounts"] == [data]
    assert data in prepare["volumeMounts"]
    assert f"/data/secrets/{ADMIN}" in {each["mountPath"] for each in prepare["volumeMounts"]}
    assert ADMIN not in str(CODE) + str(RUN)


def test_nothing_runs_as_root_or_without_a_limit_of_memory() -> None:
    for pod in (CODE["podSecurityContext"], RUN["podSpecConfig"]["securityContext"], JOB["securityContext"]):
        assert pod["runAsNonRoot"]
    for container in (CODE, RUN["containerConfig"]):
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
        assert container["resources"]["limits"]["memory"]

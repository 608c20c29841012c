"""The whole platform as a user runs it: one command, streams started by the sensor, killed, brought back.

One story told in order; each test is a chapter and builds on those before it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import psutil
import pytest
from confluent_kafka import Producer

from fraud_domain.settings import PROJECT_ROOT, Settings
from fraud_domain.streams import STREAMS
from medallion_assets.definitions import build_defs
from medallion_assets_tests.running_stack import (
    Stack,
    alerts,
    answers,
    assert_alerts_are_exact,
    eventually,
    graphql,
    up,
)
from medallion_services.embedded.environment import instance_id, stack_environment
from medallion_services.embedded.processes import marked
from medallion_services.embedded.throwaway import fresh_settings
from medallion_services.generator.timeline import Plan, Timeline
from medallion_services.generator.world import World

pytestmark = pytest.mark.timeout(1200)
CUSTOMERS, SEED = 60, 7


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The running platform, and at the end proof that nothing is left of it."""
    with fresh_settings() as fresh:
        rules = fresh.data_dir / "rules"
        shutil.copytree(fresh.rules.directory, rules)
        settings = Settings.model_validate(fresh.model_dump() | {"rules": {"directory": rules}})
        world = World(SEED, CUSTOMERS, CUSTOMERS, settings.token_key())
        made = Stack(settings, Timeline(world, Plan(1, SEED, fraud_share=0.5, run_id="stack")))
        with up(settings):
            eventually("the streams were started by their sensors", lambda: answers(made.all_running), 600)
            yield made
        assert not marked(instance_id(settings)), "processes are left after the owner stopped"


def test_traffic_becomes_exactly_the_right_alerts(stack: Stack) -> None:
    stack.send(3600)
    assert_alerts_are_exact(stack)


def test_a_second_writer_is_refused(stack: Stack) -> None:
    script = PROJECT_ROOT / "spark_jobs" / "streaming_to_postgres.py"
    tried = subprocess.run(
        [sys.executable, str(script)],
        env=stack_environment(stack.settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert tried.returncode == 75
    assert "already being written by" in tried.stderr
    assert stack.all_running()


def test_killed_jvm_comes_back_and_no_alert_is_lost_or_doubled(stack: Stack) -> None:
    before, _ = stack.drivers()["alerts"]
    jvm = next(p for p in psutil.Process(before).children(recursive=True) if p.name() == "java")
    stack.send(900)
    os.kill(jvm.pid, signal.SIGKILL)
    stack.send(900)

    def back() -> bool:
        pid, state = stack.drivers()["alerts"]
        return pid != before and state == "running"

    took = eventually("the guard started a new driver", back, 180)
    print(f"alert lane running again {took:.0f} s after kill -9 of its JVM")  # noqa: T201 - a figure for the reader
    stack.send(300)
    assert_alerts_are_exact(stack)


def test_status_tells_health_lag_and_latency(stack: Stack) -> None:
    eventually("the streams are running", stack.all_running, 120)
    answer = stack.command("status", "--json", timeout=60)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    document = json.loads(answer.stdout)
    assert {"components", "streams", "latency"} <= set(document)
    assert {s["name"] for s in document["streams"]} == {s.name for s in STREAMS}


def test_dagster_shows_the_graph_and_what_the_streams_wrote(stack: Stack) -> None:
    query = "{ assetNodes { assetKey { path } assetMaterializations(limit: 1) { timestamp } } }"
    wanted = {
        "alerts/alerts",
        "bronze/transactions",
        "silver/transactions",
        "gold/fraud_decisions",
        "mart/transaction_metrics_hour",
    }

    def reported() -> bool:
        nodes = {
            "/".join(n["assetKey"]["path"]): n["assetMaterializations"]
            for n in graphql(stack.settings, query)["assetNodes"]
        }
        assert "kafka/transactions" in nodes
        return all(nodes[name] for name in wanted)

    eventually(f"the observer reported {sorted(wanted)}", reported, 240)


@pytest.mark.parametrize("job", ["data_quality", "rule_coverage"])
def test_quality_jobs_pass_on_the_running_platform(stack: Stack, job: str) -> None:
    definitions = build_defs(stack.settings)
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False)
        found = result.get_asset_check_evaluations()
    failed = [
        f"{e.asset_key.to_user_string()} {e.check_name}: {e.description}"
        for e in found
        if not e.passed and e.severity is dg.AssetCheckSeverity.ERROR
    ]
    assert not failed
    assert result.success
    assert len(found) >= 20


NEW_RULE = """
typology: {id: magic_amount, title: Magic amount, combine: noisy_or, owner: team:fraud, description: For the test}
rules:
  - id: MAGIC-1
    version: 1
    title: The magic amount
    status: active
    key: customer
    window: 1h
    parameters: {magic: 77.77}
    condition: amount == magic
    observed: amount
    threshold: magic
    weight: 60
    reason: "Paid {amount:money}, the magic amount"
    owner: team:fraud
    fixtures:
      positive: [{name: it, event: {amount: 77.77}}]
      near_miss: [{name: nearly, event: {amount: 77.78}}]
"""


def test_a_new_rule_file_alerts_and_is_checked_without_a_restart(stack: Stack) -> None:
    before = stack.drivers()
    (stack.settings.rules.directory / "magic_amount.yaml").write_text(NEW_RULE, encoding="utf-8")
    answer = stack.command("rules", "publish", "--note", "a test", timeout=120)
    assert answer.returncode == 0, answer.stderr
    assert "added: MAGIC-1" in answer.stdout
    assert "Dagster has reloaded" in answer.stdout
    query = "{ assetNodes { assetChecksOrError { ... on AssetChecks { checks { name } } } } }"
    checks = [
        c["name"]
        for n in graphql(stack.settings, query)["assetNodes"]
        for c in n["assetChecksOrError"].get("checks", [])
    ]
    assert "rule_magic_1_coverage" in checks
    numbers = iter(range(1_000))
    producer = Producer({"bootstrap.servers": stack.settings.kafka_bootstrap})

    def alerted() -> bool:
        event = {
            "transaction_id": f"magic-{next(numbers)}", "event_time": datetime.now(UTC).isoformat(), "amount": "77.77",
            "customer_id": "c0000001", "currency": "BRL", "type": "PIX", "channel": "MOBILE_APP", "status": "APPROVED",
        }  # fmt: skip
        producer.produce("transactions", key="c0000001", value=json.dumps(event))
        assert producer.flush(10) == 0
        return any(reason["rule_id"] == "MAGIC-1" for alert in alerts(stack) for reason in alert["reasons"])

    eventually("an alert of the new rule", alerted, 60)
    assert stack.drivers() == before, "no driver was restarted"
    history = stack.command("rules", "history", timeout=60).stdout
    assert "alerts.decide batch" in history.splitlines()[0]


def test_stopped_on_purpose_stays_stopped_until_started(stack: Stack) -> None:
    assert stack.command("streams", "stop", "alerts", "--reason", "maintenance").returncode == 0
    eventually("the driver stopped", lambda: stack.drivers()["alerts"][1] == "stopped", 120)
    time.sleep(25)
    assert stack.drivers()["alerts"][1] == "stopped", "the guard started it although it is wanted stopped"
    assert stack.command("streams", "start", "alerts").returncode == 0
    eventually("the guard started it again", stack.all_running, 180)

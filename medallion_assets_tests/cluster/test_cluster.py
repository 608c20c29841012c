"""The whole pipeline on a Spark cluster and an object store, and what dies on the way.

The streams are the product's own scripts, started one after another as the guard would start them: again when one
failed, until each has read everything.
"""

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from pyarrow.fs import FileSelector

from fraud_domain.object_store import credentials
from fraud_domain.settings import PROJECT_ROOT, Settings
from fraud_domain.streams import stream
from medallion_assets_tests import object_store
from medallion_assets_tests.cluster.standalone import master, worker, write_cluster_conf
from medallion_assets_tests.integration import test_pipeline as promises
from medallion_assets_tests.pipeline import AVAILABLE_NOW, Decided, expected_decisions
from medallion_services.embedded import jars, kafka, postgres
from medallion_services.embedded.component import Component
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.java import Java, find_java
from medallion_services.embedded.ports import LOOPBACK, free_ports
from medallion_services.embedded.processes import signal_all, tree
from medallion_services.embedded.spark_conf import write_spark_conf
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.supervisor import Supervisor
from medallion_services.embedded.throwaway import Quiet, running

pytestmark = pytest.mark.cluster

STARTS_ALLOWED = 6
STREAM_SECONDS = 900
BATCH_SECONDS = 300


@dataclass(slots=True)
class Stack:
    """A cluster, a store and servers that run, with traffic in the broker and what it must lead to."""

    settings: Settings
    java: Java
    supervisor: Supervisor
    truth: list[dict[str, object]]
    expected: Decided

    def run(self, name: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Run a stream until it has read everything; `meanwhile` runs beside its first start."""
        script = PROJECT_ROOT / "spark_jobs" / stream(name).script
        environment = stack_environment(self.settings, java_home=self.java.home)
        log = self.settings.log_dir / f"streams-{name}.log"
        for start in range(STARTS_ALLOWED):
            with log.open("ab") as output:
                driver = subprocess.Popen(
                    [sys.executable, str(script)], env=environment, cwd=PROJECT_ROOT, stdout=output, stderr=output
                )
            try:
                if start == 0:
                    meanwhile()
                if driver.wait(STREAM_SECONDS) == 0:
                    return
            finally:
                driver.kill()
                driver.wait()
        pytest.fail(f"{name} failed {STARTS_ALLOWED} times: {log.read_text()[-3000:]}")

    def batches(self, folder: str) -> set[str]:
        """Numbers of the batches that a folder of a checkpoint names."""
        selector = FileSelector(f"{object_store.BUCKET}/{folder}", allow_not_found=True)
        found = object_store.files(self.settings).get_file_info(selector)
        return {each.base_name for each in found if each.base_name.isdigit()}

    def begun_batches(self, folder: str) -> set[str]:
        """Wait until a batch of the query with this checkpoint has begun."""
        deadline = time.monotonic() + BATCH_SECONDS
        while not (begun := self.batches(f"{folder}/offsets")):
            assert time.monotonic() < deadline, f"no batch began: {folder}"
            time.sleep(0.2)
        return begun

    def kill_within_a_batch(self, component: str, stream_name: str, query: str) -> None:
        """kill -9 of a component and its children while a batch of the query has begun and is not committed."""
        folder = f"checkpoints/{stream_name}/{query}"
        begun = self.begun_batches(folder)
        committed = self.batches(f"{folder}/commits")
        assert not begun <= committed, f"{stream_name}.{query} was too quick to be killed within a batch"
        self.kill(component)

    def secrets_stay_hidden(self) -> None:
        """While the driver runs: neither key nor cluster secret is on a command line, in its web UI or in a log."""
        self.begun_batches("checkpoints/alerts/decide")
        keys = credentials(self.settings)
        secrets = (keys.key_id, keys.secret_key, self.settings.secret("spark_auth"))
        root = f"http://{LOOPBACK}:{self.settings.spark.ui_port}/api/v1/applications"
        shown = [fetch(f"{root}/{each['id']}/environment") for each in json.loads(fetch(root))]
        assert any("spark.authenticate.secret" in text for text in shown)
        commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
        assert any("CoarseGrainedExecutorBackend" in command for command in commands)
        work = (self.settings.run_dir / "cluster-work").rglob("std*")
        logs = [path.read_text() for path in (*self.settings.log_dir.glob("*.log"), *work)]
        for secret in secrets:
            assert not any(secret in text for text in (*shown, *commands, *logs))

    def kill(self, component: str) -> None:
        """kill -9; the supervisor starts it again."""
        each = self.supervisor._running[component]
        assert each.handle is not None
        signal_all(tree(each.handle.pid), signal.SIGKILL)


def fetch(url: str) -> str:
    """What Spark's web UI says; asked again until it is there."""
    deadline = time.monotonic() + BATCH_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - a loopback address of our own
                return str(answer.read().decode())
        except OSError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.5)


@contextmanager
def stack(scratch: Path) -> Iterator[Stack]:
    """Everything that a cluster's installation has, on loopback, with a month of traffic in the broker."""
    master_port, ui_port = free_ports(2)
    spark = {
        "master": f"spark://{LOOPBACK}:{master_port}",
        "driver_host": LOOPBACK,
        "driver_memory": "900m",
        "executor_memory": "800m",
        "ui_port": ui_port,
    }
    with object_store.s3_settings(spark=spark, streams=AVAILABLE_NOW) as settings:
        server = object_store.program(settings)
        if server is None:
            pytest.skip(object_store.BUILD)
        java = find_java(settings)
        jars.fetch(settings, java)
        write_cluster_conf(settings)
        write_spark_conf(settings)
        cluster = (object_store.component(settings, server), master(settings, java))
        workers = (worker(settings, java, 1), worker(settings, java, 2))
        with running(settings, postgres.component(settings)), running(settings, kafka.component(settings, java)):
            prepare_database(settings)
            with kept_running(settings, *cluster, *workers) as supervisor:
                promises.produce(settings, scratch / "truth.jsonl")
                truth = [json.loads(line) for line in (scratch / "truth.jsonl").read_text().splitlines()]
                yield Stack(settings, java, supervisor, truth, expected_decisions(settings))


@contextmanager
def kept_running(settings: Settings, *components: Component) -> Iterator[Supervisor]:
    """Components that are started again when they die, as the product's supervisor does it."""
    supervisor = Supervisor(tuple((component,) for component in components), settings.log_dir, Quiet())
    watching = threading.Thread(target=supervisor.watch)
    try:
        supervisor.start()
        watching.start()
        yield supervisor
    finally:
        supervisor.stop_event.set()
        if watching.ident:
            watching.join()
        supervisor.stop()


def assert_all_as_expected(stack: Stack) -> None:
    """The same promises as on one machine, by the same code: alerts and decisions equal the oracle row for row."""
    ran = promises.Ran(stack.settings, stack.expected, stack.truth)
    promises.test_the_scene_is_worth_it(ran)
    promises.test_no_alert_is_lost_doubled_or_different(ran)
    promises.test_every_transaction_has_one_decision_in_the_log(ran)
    promises.test_bronze_is_silver_plus_quarantine_plus_duplicates(ran)
    promises.test_window_metrics_equal_a_recount(ran)
    promises.test_every_check_of_every_table_passes(ran)


def test_pipeline_survives_worker_master_and_store(tmp_path: Path) -> None:
    """Each is killed within a batch of the stream that runs then; the alert lane loses a worker."""
    with stack(tmp_path) as running_stack:
        run, kill = running_stack.run, running_stack.kill_within_a_batch

        def look_and_kill() -> None:
            running_stack.secrets_stay_hidden()
            kill("spark-worker-1", "alerts", "decide")

        run("alerts", look_and_kill)
        run("bronze", lambda: kill("spark-master", "bronze", "transactions"))
        run("silver", lambda: kill("object-store", "silver", "transactions"))
        run("gold", lambda: kill("spark-worker-2", "gold", "metrics"))
        run("gold")
        assert_all_as_expected(running_stack)

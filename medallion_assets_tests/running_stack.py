"""The whole platform as a user runs it, for tests: started by one command, driven by traffic with known truth."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import psycopg
import pyarrow.dataset as pads
from deltalake import DeltaTable

from fraud_domain.rules import alert_id
from fraud_domain.settings import PROJECT_ROOT, Settings
from fraud_domain.streams import STREAMS
from fraud_domain.tables import location, table
from fraud_domain.topics import TRANSACTIONS
from medallion_assets_tests.pipeline import database, expected_decisions
from medallion_services.embedded.environment import stack_environment
from medallion_services.generator.producer import KafkaSink
from medallion_services.generator.timeline import Timeline


@dataclass(slots=True)
class Stack:
    """A data directory, and the traffic that was sent into it."""

    settings: Settings
    timeline: Timeline
    judged_until: float = 0.0

    def command(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run `medallion ...` as a user would."""
        command = [sys.executable, "-m", "medallion_services", *words]
        environment = stack_environment(self.settings)
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, cwd=PROJECT_ROOT, check=False, **more
        )

    def send(self, seconds: float, rate: float = 0.5) -> None:
        """Traffic full of fraud, with `seconds` of event time that end now; steps that are due later wait.

        What is known about a subject is sent before its payments, and nothing about a time that was judged already: the
        oracle knows all of it from the start, a lane that is fast enough would judge the payment first.
        """
        now = time.time()
        emissions = list(self.timeline.emissions(now - seconds, now, rate))
        with KafkaSink(self.settings) as sink:
            for emission in emissions:
                if emission.topic != TRANSACTIONS and emission.send_at > self.judged_until:
                    sink.send(emission)
            sink.flush()
            for emission in emissions:
                if emission.topic == TRANSACTIONS:
                    sink.send(emission)
        self.judged_until = now

    def one(self, query: str, *parameters: object) -> dict[str, Any]:
        """The one row of a query."""
        with database(self.settings) as connection:
            row = connection.execute(query, parameters).fetchone()
        assert row is not None
        return row

    def drivers(self) -> dict[str, tuple[int, str]]:
        """Driver pid and state per stream."""
        with database(self.settings) as connection:
            rows = connection.execute("SELECT stream, driver_pid, state FROM fraud.stream_heartbeat").fetchall()
        return {r["stream"]: (r["driver_pid"], r["state"]) for r in rows}

    def all_running(self) -> bool:
        """Whether every stream says so."""
        drivers = self.drivers()
        return set(drivers) == {s.name for s in STREAMS} and all(state == "running" for _, state in drivers.values())


def eventually(what: str, holds: Callable[[], bool], seconds: float) -> float:
    """Wait for something; returns how long it took."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < seconds, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.5)
    return time.monotonic() - started


@contextmanager
def up(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """`medallion up --no-generator`, ended by SIGTERM."""
    settings.log_dir.mkdir(exist_ok=True)
    with (settings.log_dir / "up.txt").open("ab") as log:
        owner = subprocess.Popen(
            [sys.executable, "-m", "medallion_services", "up", "--no-generator"],
            env=stack_environment(settings),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd=PROJECT_ROOT,
        )
    try:
        yield owner
    finally:
        owner.send_signal(signal.SIGTERM)
        owner.wait(120)


def answers(question: Callable[[], bool]) -> bool:
    """The answer, or no while the database is still coming up."""
    try:
        return question()
    except psycopg.Error:
        return False


def decided(stack: Stack) -> int:
    """Transactions whose decision about the customer has reached gold."""
    rows = DeltaTable(location(stack.settings.lake_root, table("gold.fraud_decisions")))
    return int(rows.to_pyarrow_dataset().count_rows(filter=pads.field("subject_kind") == "customer"))


def assert_alerts_are_exact(stack: Stack, seconds: float = 240) -> None:
    """Alerts in PostgreSQL are those of the reference evaluator: none lost, none doubled, none else.

    Others than customers draw on several partitions and topics, so which transaction trips a rule depends on the
    batches, and a terminal is named only if the label came before the payment: the same merchants and devices must be
    named for the same typologies, and no terminal that the oracle does not name.
    """
    expected = expected_decisions(stack.settings)
    customers = {transaction for kind, transaction in expected if kind == "customer"}
    eventually("every transaction has its decision in gold", lambda: decided(stack) >= len(customers), seconds)
    raised = [decision for decision in expected.values() if decision.alert]
    wanted = {alert_id(decision) for decision in raised if decision.subject_kind == "customer"}
    assert len(wanted) > 5
    assert sorted(a["alert_id"] for a in alerts(stack) if a["subject_kind"] == "customer") == sorted(wanted)
    others = {(d.subject_kind.value, d.subject, d.typology) for d in raised if d.subject_kind != "customer"}

    def named() -> bool:
        found = {(a["subject_kind"], a["subject"], a["typology"]) for a in alerts(stack)}
        found = {each for each in found if each[0] != "customer"}
        return found <= others and all(each[0] == "terminal" for each in others - found)

    eventually(f"alerts about others: {others}", named, 60)


def alerts(stack: Stack) -> list[dict[str, Any]]:
    """Every alert."""
    with database(stack.settings) as connection:
        return connection.execute("SELECT * FROM fraud.alerts").fetchall()


def graphql(settings: Settings, query: str, **variables: object) -> Any:
    """Ask Dagster's webserver."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{settings.dagster.port}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        found = json.load(answer)
    assert "errors" not in found, found
    return found["data"]


def driven_anew(stack: Stack) -> bool:
    """Whether every heartbeat is of a driver that lives."""
    return all(psutil.pid_exists(pid) for pid, _ in stack.drivers().values())

"""The direct lane on real servers: the decisions of the oracle, and no alert lost or doubled wherever it dies."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fraud_domain.rules import alert_id
from fraud_domain.settings import PROJECT_ROOT, Settings
from fraud_domain.streams import DIRECT_STATE
from medallion_assets_tests.integration.test_pipeline import produce
from medallion_assets_tests.pipeline import (
    AVAILABLE_NOW,
    Decided,
    database,
    drain_direct,
    expected_decisions,
    messages,
    take_lease,
)
from medallion_services.embedded import kafka, postgres
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.java import Java
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.throwaway import fresh_settings, running
from spark_jobs import direct_to_postgres
from spark_jobs.direct.source import DataLossError, Source
from spark_jobs.direct.store import Due, Store, StoreError
from spark_jobs.failpoints import LOG_VARIABLE, VARIABLE
from spark_jobs.lease import FencedError
from spark_jobs.rebase import LostCheckpointError

SCRIPT = PROJECT_ROOT / "spark_jobs" / "direct_to_postgres.py"


@dataclass(frozen=True, slots=True)
class Lane:
    """Servers, a month of traffic, and what should come of it."""

    settings: Settings
    expected: Decided

    @property
    def folder(self) -> Path:
        """Where its state is."""
        return Path(self.settings.checkpoint_root) / "alerts" / "decide"

    def alerts(self) -> dict[str, dict[str, object]]:
        """Every alert in the database, by id."""
        with database(self.settings) as connection:
            rows = connection.execute("SELECT * FROM fraud.alerts").fetchall()
        return {row["alert_id"]: row for row in rows}

    def decisions(self) -> list[dict[str, object]]:
        """Every decision in the log."""
        return [json.loads(message.value()) for message in messages(self.settings, "fraud_decisions")]


@pytest.fixture(scope="module")
def lane(java: Java, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lane]:
    """Batches of 300, so that there are many."""
    streams = AVAILABLE_NOW | {"alert_lane": "direct", "alert_max_offsets_per_trigger": 300}
    with (
        fresh_settings(streams=streams, kafka={"partitions": 1}) as settings,
        running(settings, postgres.component(settings), kafka.component(settings, java)),
    ):
        prepare_database(settings)
        produce(settings, tmp_path_factory.mktemp("oracle") / "truth.jsonl")
        yield Lane(settings, expected_decisions(settings))


KILLS = (
    "before_histories:2",
    "after_histories:3",
    "before_alert_commit:1",
    "in_alert_transaction:1",
    "after_alert_commit:1",
    "before_publish@fraud_alerts:1",
    "before_publish@fraud_decisions:2",
    "after_publish@fraud_decisions:3",
)


def test_killed_anywhere_it_makes_the_decisions_of_the_oracle(lane: Lane, tmp_path: Path) -> None:
    hits = tmp_path / "hits.txt"
    for kill in KILLS:
        environment = stack_environment(lane.settings) | {VARIABLE: f"{kill}:kill9", LOG_VARIABLE: str(hits)}
        ended = subprocess.run([sys.executable, str(SCRIPT)], env=environment, cwd=PROJECT_ROOT, check=False)
        assert ended.returncode == -9, f"{kill} was not reached"
    drain_direct(lane.settings, take_lease(lane.settings, "alerts"))
    assert len(hits.read_text(encoding="utf-8").splitlines()) == len(KILLS)

    wanted = {alert_id(d): d for d in lane.expected.values() if d.alert}
    alerts = lane.alerts()
    assert alerts.keys() == wanted.keys()
    assert {d.subject_kind.value for d in wanted.values()} == {"customer", "device", "merchant", "terminal"}
    for name, decision in wanted.items():
        assert alerts[name]["score"] == decision.score
        assert alerts[name]["reasons"] == json.loads(json.dumps(decision.as_json()["reasons"]))
    logged = lane.decisions()
    distinct = {(d["subject_kind"], d["transaction_id"]): (d["score"], d["alert"]) for d in logged}
    assert distinct == {
        (kind, name): (decision.score, decision.alert) for (kind, name), decision in lane.expected.items()
    }
    assert len(logged) - len(distinct) <= 300 * len(KILLS), "only a batch that was not told to the end is told again"
    with database(lane.settings) as connection:
        (ledger,) = connection.execute("SELECT sum(alerts) AS alerts FROM fraud.batch_ledger").fetchall()
    assert ledger["alerts"] == len(alerts)


def test_a_second_run_finds_nothing_to_do(lane: Lane) -> None:
    before = (lane.alerts().keys(), len(lane.decisions()))
    drain_direct(lane.settings, take_lease(lane.settings, "alerts"))
    assert (lane.alerts().keys(), len(lane.decisions())) == before


def test_an_older_driver_that_wakes_up_is_refused(lane: Lane) -> None:
    epoch = take_lease(lane.settings, "alerts")
    old, new = Store(lane.folder, epoch), Store(lane.folder, epoch + 1)
    try:
        with pytest.raises(FencedError, match=f"epoch {epoch}"):
            old.commit([], Due(), [])
        with pytest.raises(FencedError):
            Store(lane.folder, epoch)
    finally:
        old.close()
        new.close()


def test_what_kafka_has_not_got_any_more_stops_it(lane: Lane) -> None:
    broker = {"bootstrap.servers": lane.settings.kafka_bootstrap}
    source = Source(broker, (), ("transactions",), {("transactions", 0): 10_000_000})
    try:
        with pytest.raises(DataLossError, match=r"transactions/0 has not got offset 10000000.*kafka-data-loss\.md"):
            source.read(10, 20.0)
    finally:
        source.close()


def test_a_lost_or_foreign_state_is_refused(lane: Lane) -> None:
    aside = lane.folder.rename(lane.folder.with_name("aside"))
    try:
        with pytest.raises(LostCheckpointError, match=r"medallion checkpoint rebase alerts\.decide"):
            direct_to_postgres.start(lane.settings, take_lease(lane.settings, "alerts"))
        for file in lane.folder.iterdir():
            file.unlink()
        (lane.folder / "metadata").write_text("{}", encoding="utf-8")
        with pytest.raises(StoreError, match="a checkpoint of Spark's"):
            direct_to_postgres.start(lane.settings, take_lease(lane.settings, "alerts"))
        environment = stack_environment(lane.settings)
        ended = subprocess.run(
            [sys.executable, str(SCRIPT)],
            env=environment,
            cwd=PROJECT_ROOT,
            check=False,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 1
        assert "run `medallion checkpoint rebase alerts.decide`" in ended.stderr
        assert "Traceback" not in ended.stderr
        (lane.folder / "metadata").unlink()
        (lane.folder / DIRECT_STATE).write_bytes(os.urandom(8192))
        with pytest.raises(StoreError, match=r"is damaged.*lost-checkpoint\.md"):
            direct_to_postgres.start(lane.settings, take_lease(lane.settings, "alerts"))
    finally:
        for file in lane.folder.iterdir():
            file.unlink()
        lane.folder.rmdir()
        aside.rename(lane.folder)

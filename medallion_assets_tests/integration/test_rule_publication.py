"""A published rule set is taken up between two batches, recorded, and a repeated batch keeps the rules it had."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer
from pyspark.sql import SparkSession

from fraud_domain.settings import Settings
from medallion_assets_tests.pipeline import database, take_lease
from medallion_services.embedded import kafka, postgres
from medallion_services.embedded.java import Java
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.throwaway import fresh_settings, running
from medallion_services.errors import UserError
from medallion_services.rule_sets import activations, publish, read_rule_set
from spark_jobs import direct_to_postgres, streaming_to_postgres
from spark_jobs.published_rules import LOOK_EVERY_SECONDS

RULE = """
typology: {id: large, title: Large, combine: noisy_or, owner: t, description: d}
rules:
  - id: BIG-1
    version: 1
    title: Large payment
    status: active
    key: customer
    window: 1h
    parameters: {limit: %d}
    condition: amount > limit
    observed: amount
    threshold: limit
    weight: 50
    reason: "{amount:money}, limit {limit}"
    owner: t
    fixtures:
      positive: [{name: above, event: {amount: %d}}]
      near_miss: [{name: at the limit, event: {amount: %d}}]
"""
WAIT_SECONDS = 200.0


@dataclass(frozen=True, slots=True)
class Lane:
    """Servers with topics and tables, and a rules directory of the test's own."""

    settings: Settings
    producer: Producer

    def write_rule(self, limit: int) -> None:
        """The one rule: an alert above `limit`."""
        path = self.settings.rules.directory / "large.yaml"
        path.write_text(RULE % (limit, limit + 1, limit), encoding="utf-8")

    def pay(self, number: int) -> None:
        """A payment of 500."""
        event = {
            "transaction_id": f"t-{number}", "event_time": datetime.now(UTC).isoformat(), "customer_id": "c-1",
            "amount": "500", "currency": "BRL", "type": "PIX", "channel": "MOBILE_APP", "status": "APPROVED",
        }  # fmt: skip
        self.producer.produce("transactions", key="c-1", value=json.dumps(event))
        assert self.producer.flush(10) == 0

    def alerts(self) -> list[tuple[str, str]]:
        """Transaction and rule set of every alert."""
        with database(self.settings) as connection:
            rows = connection.execute("SELECT transaction_id, rule_set_version FROM fraud.alerts").fetchall()
        return [(row["transaction_id"], row["rule_set_version"]) for row in rows]

    def committed(self, batch: int) -> Path:
        """Spark's note that the customers' query finished a batch."""
        return Path(self.settings.checkpoint_root) / "alerts" / "decide" / "commits" / str(batch)


@pytest.fixture
def lane(java: Java, tmp_path: Path) -> Iterator[Lane]:
    with fresh_settings() as fresh:
        streams = {"alerts": {"interval": "200 milliseconds"}}
        changes = {"rules": {"directory": tmp_path}, "streams": streams}
        settings = Settings.model_validate(fresh.model_dump() | changes)
        with running(settings, postgres.component(settings)), running(settings, kafka.component(settings, java)):
            lane = Lane(settings, Producer({"bootstrap.servers": settings.kafka_bootstrap}))
            lane.write_rule(1_000)
            prepare_database(settings)
            yield lane


@contextmanager
def streaming(spark: SparkSession, settings: Settings) -> Iterator[list[str]]:
    """The alert lane, running for the length of the block, and stopped between batches.

    Stopped within a batch, a task may keep the state's lock for a minute; in production the JVM ends with it.
    """
    queries = streaming_to_postgres.start(spark, settings, take_lease(settings, "alerts"))
    try:
        yield [query.runId for query in queries]
        for query in queries:
            query.processAllAvailable()
        assert all(query.isActive for query in queries)
    finally:
        for query in queries:
            query.stop()


def wait_for(what: str, happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen within {WAIT_SECONDS:.0f} s"
        time.sleep(0.2)


def boundaries(lane: Lane) -> list[dict[str, int]]:
    """First batch of each query by publication, newest first."""
    return [activation.boundaries for activation in activations(lane.settings)]


def test_rules_change_between_batches_and_a_repeated_batch_keeps_its_rules(lane: Lane, spark: SparkSession) -> None:
    # Before the start, or the first batch might be an empty one.
    lane.pay(1)
    with streaming(spark, lane.settings):
        wait_for("batch 0", lane.committed(0).exists)
        # A batch within a second of the last look would not look, and no third batch comes by itself.
        time.sleep(LOOK_EVERY_SECONDS)
        lane.write_rule(100)
        done = publish(lane.settings, read_rule_set(lane.settings.rules.directory), "tester", "lower limit")
        assert (done.changed, done.added, done.removed) == (("BIG-1",), (), ())
        lane.pay(2)
        wait_for("batch 1", lane.committed(1).exists)
        wait_for("the boundary", lambda: boundaries(lane)[0].get("alerts.decide") == 2)
        assert boundaries(lane)[1]["alerts.decide"] == 0
    assert lane.alerts() == [], "batch 1 began under the old rules"

    lane.committed(1).unlink()
    with streaming(spark, lane.settings):
        wait_for("batch 1 again", lane.committed(1).exists)
        assert lane.alerts() == [], "the repeated batch was judged by the rules it had"
        lane.pay(3)
        wait_for("the alert", lambda: lane.alerts() == [("t-3", done.version)])


def test_the_direct_lane_takes_up_what_is_published_and_keeps_it(lane: Lane) -> None:
    numbers = count(1)

    def raised(alerts: int) -> bool:
        lane.pay(next(numbers))
        time.sleep(0.3)
        return len(lane.alerts()) >= alerts

    with direct(lane.settings):
        assert not raised(1), "500 is below the limit"
        lane.write_rule(100)
        done = publish(lane.settings, read_rule_set(lane.settings.rules.directory), "tester", "lower limit")
        wait_for("an alert by the new rules", lambda: raised(1))
    assert boundaries(lane)[1]["alerts.decide"] == 0
    assert boundaries(lane)[0]["alerts.decide"] > 0
    with direct(lane.settings):
        before = len(lane.alerts())
        wait_for("an alert of the next driver", lambda: raised(before + 1))
    assert {version for _, version in lane.alerts()} == {done.version}


@contextmanager
def direct(settings: Settings) -> Iterator[None]:
    """The direct lane, running for the length of the block."""
    running = direct_to_postgres.start(settings, take_lease(settings, "alerts"))
    try:
        yield
    finally:
        running.stop()
    assert not running.failure()


def test_history_of_rule_sets_cannot_be_rewritten(lane: Lane) -> None:
    again = publish(lane.settings, read_rule_set(lane.settings.rules.directory), "tester")
    assert not again.anything
    assert len(activations(lane.settings)) == 1
    for role in ("fraud_writer", "fraud_owner"):
        for table in ("rule_versions", "rule_activations"):
            with database(lane.settings, role) as connection, pytest.raises(psycopg.Error, match=r"denied|append-only"):
                connection.execute(f"DELETE FROM fraud.{table}")  # noqa: S608 - names from the line above


def test_a_rule_whose_fixtures_do_not_hold_is_not_published(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text(RULE % (100, 50, 20), encoding="utf-8")
    with pytest.raises(UserError, match=r"large\.yaml:18: BIG-1 positive 'above': expected a hit"):
        read_rule_set(tmp_path)

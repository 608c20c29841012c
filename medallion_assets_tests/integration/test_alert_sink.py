"""The alert sink on a real PostgreSQL: once in effect, fenced, and a witness against batches that change."""

from collections.abc import Iterator
from typing import Any

import pytest

from fraud_domain.settings import Settings
from medallion_assets_tests.pipeline import database, take_lease
from medallion_services.embedded.throwaway import own_database
from spark_jobs.alert_sink import AlertSink, ReplayDiffersError, open_sink
from spark_jobs.lake import Batch
from spark_jobs.lease import FencedError, Lease, StreamHeldError


@pytest.fixture(scope="module")
def server() -> Iterator[Settings]:
    with own_database() as settings:
        yield settings


@pytest.fixture
def sink(server: Settings) -> Iterator[AlertSink]:
    opened = open_sink(server.postgres_parameters("fraud_writer"), "alerts", take_lease(server, "alerts"))
    yield opened
    opened.pool.close()


def alert(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "alert_id": f"a{number}",
        "subject_kind": "customer",
        "subject": "c1",
        "transaction_id": f"t{number}",
        "customer_id": "c1",
        "card_token": None,
        "card_last4": "1234",
        "merchant_id": None,
        "event_time": "2026-11-24T12:00:00.123456+00:00",
        "amount": "812.40",
        "currency": "BRL",
        "type": "PIX",
        "channel": "MOBILE_APP",
        "score": 63.5,
        "level": "medium",
        "typology": "pix_scam",
        "rule_set_version": "v",
        "reasons": '[{"rule_id": "PIX-1"}]',
        "topic": "transactions",
        "partition": 0,
        "offset": number,
        "kafka_timestamp": "2026-11-24T12:00:01+00:00",
    } | changes


def counts(settings: Settings) -> tuple[int, int, int]:
    with database(settings) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM fraud.alerts) a, (SELECT count(*) FROM fraud.outbox) o,"
            " (SELECT count(*) FROM fraud.batch_ledger) l"
        ).fetchone()
    assert row is not None
    return row["a"], row["o"], row["l"]


def test_replayed_batch_writes_no_second_alert(server: Settings, sink: AlertSink) -> None:
    batch = Batch("alerts", "replay", 7)
    before = counts(server)
    assert sink.commit(batch, [alert(1), alert(2)]) == 2
    assert sink.commit(batch, [alert(2), alert(1)]) == 0, "the same alerts in another order are the same batch"
    assert counts(server) == (before[0] + 2, before[1] + 2, before[2] + 1)


def test_replay_with_other_alerts_is_an_error_and_writes_nothing(server: Settings, sink: AlertSink) -> None:
    batch = Batch("alerts", "differs", 1)
    sink.commit(batch, [alert(11)])
    before = counts(server)
    with pytest.raises(ReplayDiffersError, match="batch 1 of 'alerts'"):
        sink.commit(batch, [alert(11, score=64.0)])
    assert counts(server) == before


def test_new_generation_never_doubles_an_alert(server: Settings, sink: AlertSink) -> None:
    sink.commit(Batch("alerts", "old", 0), [alert(21)])
    before = counts(server)
    assert sink.commit(Batch("alerts", "new", 0), [alert(21)]) == 0
    assert counts(server) == (before[0], before[1], before[2] + 1)


def test_driver_that_overslept_is_fenced(server: Settings, sink: AlertSink) -> None:
    take_lease(server, "alerts")
    before = counts(server)
    with pytest.raises(FencedError, match="this driver holds epoch"):
        sink.commit(Batch("alerts", "fenced", 0), [alert(31)])
    assert counts(server) == before


def test_second_lease_is_refused_by_name_and_frees_with_the_first(server: Settings) -> None:
    parameters = server.postgres_parameters("fraud_writer")
    with Lease(parameters, ("silver",), "first@here:1") as first:
        with (
            pytest.raises(StreamHeldError, match="already being written by first@here:1"),
            Lease(parameters, ("silver",), "second"),
        ):
            pass
        first.renew()
    with Lease(parameters, ("silver",), "third") as third:
        assert third.epochs["silver"] == first.epochs["silver"] + 1


def test_a_batch_half_refused_by_the_database_leaves_nothing(server: Settings, sink: AlertSink) -> None:
    import psycopg

    before = counts(server)
    with pytest.raises(psycopg.errors.CheckViolation):
        sink.commit(Batch("alerts", "half", 0), [alert(41), alert(42, currency="reais")])
    assert counts(server) == before


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("fraud_reader", "UPDATE fraud.alerts SET status = 'closed'"),
        ("fraud_reader", "INSERT INTO fraud.stream_control (application) VALUES ('x')"),
        ("fraud_writer", "DELETE FROM fraud.alerts"),
        ("fraud_writer", "UPDATE fraud.alerts SET score = 0"),
        ("fraud_writer", "UPDATE fraud.batch_ledger SET alerts = 0"),
        ("fraud_writer", "DROP TABLE fraud.alerts"),
        ("fraud_notifier", "INSERT INTO fraud.outbox (alert_id, channel, recipient) VALUES ('a', 'b', 'c')"),
        ("fraud_notifier", "SELECT * FROM mart.rule_metrics_daily"),
    ],
)
def test_roles_may_do_no_more_than_they_need(server: Settings, role: str, statement: str) -> None:
    import psycopg

    with (
        database(server, role) as connection,
        pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)),
    ):
        connection.execute(statement)

"""The alert sink on a real PostgreSQL: once in effect, fenced, and a witness against batches that change."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from fraud_domain.micro_batch import Batch
from fraud_domain.settings import Settings
from medallion_assets_tests.pipeline import database, take_lease
from medallion_services.embedded.throwaway import own_database
from spark_jobs import alert_sink
from spark_jobs.alert_sink import AlertSink, ReplayDiffersError, open_sink
from spark_jobs.failpoints import Failpoint
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


def kill_connections(settings: Settings) -> int:
    """What a restart of the database does to the sink; returns how many connections it had."""
    with database(settings, "fraud_writer") as connection:
        rows = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'medallion-alerts'"
        ).fetchall()
    return len(rows)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that the sink would have made."""
    made: list[float] = []
    monkeypatch.setattr(alert_sink, "time", SimpleNamespace(sleep=made.append))
    return made


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> list[Failpoint]:
    """Where the sink came to."""
    return reach(monkeypatch, lambda point: None)


def reach(monkeypatch: pytest.MonkeyPatch, then: Callable[[Failpoint], object]) -> list[Failpoint]:
    """Do something at every failpoint; returns the list of those that were reached."""
    found: list[Failpoint] = []

    def reached(point: Failpoint) -> None:
        found.append(point)
        then(point)

    monkeypatch.setattr(alert_sink, "reached", reached)
    return found


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
    with pytest.raises(ReplayDiffersError, match=r"batch 1 of 'alerts' \(generation differs\) was committed"):
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
    before = counts(server)
    with pytest.raises(psycopg.errors.CheckViolation):
        sink.commit(Batch("alerts", "half", 0), [alert(41), alert(42, currency="reais")])
    assert counts(server) == before


def test_sink_stops_where_faults_are_put_and_a_replay_comes_to_the_first_only(
    sink: AlertSink, points: list[Failpoint]
) -> None:
    batch = Batch("alerts", "points", 0)
    sink.commit(batch, [alert(51)])
    way = [Failpoint.BEFORE_ALERT_COMMIT, Failpoint.IN_ALERT_TRANSACTION, Failpoint.AFTER_ALERT_COMMIT]
    assert points == way
    sink.commit(batch, [alert(51)])
    assert points == [*way, Failpoint.BEFORE_ALERT_COMMIT]


def test_one_connection_takes_batch_after_batch_and_keeps_nothing_of_them(server: Settings, sink: AlertSink) -> None:
    for number in (0, 1, 2):
        assert sink.commit(Batch("alerts", "many", number), [alert(61 + number)]) == 1
    assert [sink.commit(Batch("alerts", "many", number), [alert(61 + number)]) for number in (2, 1, 0)] == [0, 0, 0]
    with sink.pool.connection() as connection:
        assert connection.execute("SELECT count(*) FROM staged_alerts").fetchone() == (0,)
    before = counts(server)
    assert sink.commit(Batch("alerts", "many", 3), []) == 0
    assert counts(server) == before, "a batch without alerts is no business of the database"


def test_connection_that_broke_between_batches_is_replaced_unnoticed(
    server: Settings, sink: AlertSink, pauses: list[float]
) -> None:
    assert sink.commit(Batch("alerts", "idle", 0), [alert(71)]) == 1
    assert kill_connections(server)
    assert sink.commit(Batch("alerts", "idle", 1), [alert(72)]) == 1
    assert pauses == []


@pytest.mark.parametrize("failures", [1, 8])
def test_database_that_goes_away_within_a_transaction_is_waited_out(
    server: Settings, sink: AlertSink, pauses: list[float], monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    def break_off(point: Failpoint) -> None:
        if point is Failpoint.IN_ALERT_TRANSACTION and seen.count(point) <= failures:
            kill_connections(server)

    seen = reach(monkeypatch, break_off)
    before = counts(server)
    assert sink.commit(Batch("alerts", f"away-{failures}", 0), [alert(80 + failures)]) == 1
    assert counts(server) == (before[0] + 1, before[1] + 1, before[2] + 1)
    assert len(pauses) == failures


def test_database_that_stays_away_is_given_up_after_the_time_that_is_promised(
    server: Settings, sink: AlertSink, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """331 s, of which nine times 30 s are the pool's; the page on faults and the stream's own limits rest on it."""
    reach(monkeypatch, lambda point: point is Failpoint.IN_ALERT_TRANSACTION and kill_connections(server))
    before = counts(server)
    with pytest.raises(psycopg.OperationalError):
        sink.commit(Batch("alerts", "gone", 0), [alert(91)])
    assert counts(server) == before
    assert pauses == sorted(pauses)
    assert round(sum(pauses) + 9 * sink.pool.timeout) == 331


@pytest.fixture
def routes(server: Settings) -> Iterator[None]:
    """Routes beside the desk's own; it is switched off."""
    with database(server, "fraud_owner") as connection:
        connection.execute("UPDATE fraud.notification_route SET enabled = false")
        connection.execute(
            "INSERT INTO fraud.notification_route (channel, recipient, min_score, enabled)"
            " VALUES ('email', 'from 63.5', 63.5, true), ('email', 'from 63.6', 63.6, true), ('email', 'off', 0, false)"
        )
        yield
        connection.execute("DELETE FROM fraud.notification_route WHERE channel = 'email'")
        connection.execute("UPDATE fraud.notification_route SET enabled = true")


def test_each_route_that_is_on_hears_of_alerts_from_its_score(server: Settings, sink: AlertSink, routes: None) -> None:
    alerts = [alert(101, score=63.4), alert(102, score=63.5), alert(103, score=63.6)]
    assert sink.commit(Batch("alerts", "routes", 0), alerts) == 3
    with database(server) as connection:
        rows = connection.execute(
            "SELECT alert_id, channel, recipient FROM fraud.outbox WHERE alert_id IN ('a101', 'a102', 'a103')"
            " ORDER BY alert_id, recipient"
        ).fetchall()
    assert [tuple(row.values()) for row in rows] == [
        ("a102", "email", "from 63.5"),
        ("a103", "email", "from 63.5"),
        ("a103", "email", "from 63.6"),
    ]


def test_whoever_listens_hears_how_many_alerts_are_new(server: Settings, sink: AlertSink) -> None:
    sink.commit(Batch("alerts", "heard", 0), [alert(111)])
    with database(server) as connection:
        connection.execute("LISTEN fraud_alerts")
        sink.commit(Batch("alerts", "heard", 1), [alert(111), alert(112), alert(113)])
        assert [each.payload for each in connection.notifies(timeout=5, stop_after=1)] == ["2"]


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
    with (
        database(server, role) as connection,
        pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)),
    ):
        connection.execute(statement)

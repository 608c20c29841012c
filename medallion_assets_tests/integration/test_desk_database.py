"""What the database itself guarantees about the desk, whoever connects: states, trail, cases, snoozes, privileges."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import DictRow

from fraud_domain.settings import Settings
from medallion_assets_tests.integration import desk
from medallion_assets_tests.pipeline import database
from medallion_services.dashboard.states import LABELS, TRANSITIONS, Disposition, State
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.throwaway import own_database


@pytest.fixture(scope="module")
def server() -> Iterator[Settings]:
    with own_database() as settings:
        yield settings


def change(settings: Settings, alert_id: str, actor: str = "ana", note: str = "", **columns: Any) -> None:
    """Change an alert as the desk does."""
    assignments = ", ".join(f"{name} = %({name})s" for name in columns)
    with database(settings, "fraud_desk") as connection, connection.transaction():
        connection.execute(
            "SELECT set_config('fraud.actor', %s, true), set_config('fraud.note', %s, true)", (actor, note)
        )
        statement = f"UPDATE fraud.alerts SET {assignments} WHERE alert_id = %(id)s"  # noqa: S608 - names of this test
        connection.execute(statement.encode(), columns | {"id": alert_id})


def one(settings: Settings, query: str, *parameters: Any) -> DictRow:
    """The only row of a query."""
    with database(settings) as connection:
        row = connection.execute(query.encode(), parameters).fetchone()
    assert row is not None
    return row


def put_into(settings: Settings, state: State) -> str:
    """An alert in a state, reached by legal moves."""
    alert_id = desk.add_alert(settings)
    paths = {
        State.NEW: (),
        State.IN_REVIEW: (State.IN_REVIEW,),
        State.ESCALATED: (State.IN_REVIEW, State.ESCALATED),
        State.WAITING_CUSTOMER: (State.IN_REVIEW, State.WAITING_CUSTOMER),
        State.CLOSED: (State.CLOSED,),
    }
    for step in paths[state]:
        change(settings, alert_id, status=step, disposition="verified" if step is State.CLOSED else None)
    return alert_id


def test_database_knows_exactly_the_transitions_of_the_code(server: Settings) -> None:
    with database(server, "fraud_desk") as connection:
        rows = connection.execute("SELECT previous, next FROM fraud.alert_transitions").fetchall()
    assert {(row["previous"], row["next"]) for row in rows} == {
        (a, b) for a, nexts in TRANSITIONS.items() for b in nexts
    }


@pytest.mark.parametrize("before", State)
def test_database_refuses_every_illegal_move(server: Settings, before: State) -> None:
    for after in set(State) - {before} - TRANSITIONS[before]:
        alert_id = put_into(server, before)
        with pytest.raises(psycopg.errors.CheckViolation, match=f"cannot go from {before} to {after}"):
            change(server, alert_id, status=after, disposition="verified" if after is State.CLOSED else None)


def test_closing_needs_a_finding_and_reopening_forgets_it(server: Settings) -> None:
    alert_id = put_into(server, State.NEW)
    with pytest.raises(psycopg.errors.CheckViolation):
        change(server, alert_id, status="closed")
    change(server, alert_id, status="closed", disposition="duplicate")
    with pytest.raises(psycopg.errors.CheckViolation, match="reopening"):
        change(server, alert_id, disposition="verified")
    change(server, alert_id, status="in_review")
    row = one(server, "SELECT status, disposition, version FROM fraud.alerts WHERE alert_id = %s", alert_id)
    assert (row["status"], row["disposition"], row["version"]) == ("in_review", None, 3)


def test_no_change_without_an_actor_and_none_without_a_trace(server: Settings) -> None:
    alert_id = desk.add_alert(server)
    with (
        database(server, "fraud_desk") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="without an actor"),
    ):
        connection.execute("UPDATE fraud.alerts SET status = 'in_review' WHERE alert_id = %s", (alert_id,))
    change(server, alert_id, actor="bia", note="looks odd", status="in_review", assigned_to="bia")
    row = one(server, "SELECT * FROM fraud.alert_event WHERE alert_id = %s", alert_id)
    assert (row["actor"], row["action"], row["note"]) == ("bia", "moved", "looks odd")
    assert row["previous"] == {"status": "new", "assigned_to": None, "disposition": None}
    assert row["new"] == {"status": "in_review", "assigned_to": "bia", "disposition": None}


@pytest.mark.parametrize("role", ["fraud_desk", "fraud_owner"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE fraud.alert_event SET actor = 'nobody'",
        "DELETE FROM fraud.alert_event",
        "TRUNCATE fraud.alert_event",
    ],
)
def test_the_trail_cannot_be_changed_not_even_by_its_owner(server: Settings, role: str, statement: str) -> None:
    change(server, desk.add_alert(server), status="in_review")
    with (
        database(server, role) as connection,
        pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.RestrictViolation)),
    ):
        connection.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO fraud.alerts (alert_id) VALUES ('x')",
        "DELETE FROM fraud.alerts",
        "UPDATE fraud.alerts SET score = 0",
        "UPDATE fraud.alerts SET reasons = '[]'",
        "UPDATE fraud.alerts SET version = 9",
        "UPDATE fraud.alerts SET case_id = NULL",
        "INSERT INTO fraud.alert_event (actor, action) VALUES ('x', 'y')",
        "UPDATE fraud.cases SET status = 'closed'",
        "INSERT INTO fraud.label_outbox (alert_id, transaction_id, label) VALUES ('a', 'b', 'fraud')",
        "UPDATE fraud.label_outbox SET label = 'legit'",
        "INSERT INTO fraud.users (user_name, role, password_hash) VALUES ('eve', 'admin', 'x')",
        "UPDATE fraud.users SET role = 'admin'",
        "INSERT INTO fraud.api_tokens (user_name, label, token_hash, role) VALUES ('a', 'b', 'c', 'admin')",
        "INSERT INTO fraud.alert_transitions VALUES ('closed', 'new')",
        "UPDATE fraud.stream_control SET desired = 'stopped'",
        "INSERT INTO fraud.snoozes (rule_id) VALUES ('x')",
        "SELECT fraud.count_outcome(a, 'verified', 1) FROM fraud.alerts a",
        "SELECT fraud.recount_case(1, 1)",
        "UPDATE mart.rule_metrics_daily SET hits = 0",
        "INSERT INTO fraud.rule_versions (version) VALUES ('x')",
        "UPDATE fraud.outbox SET status = 'sent'",
        "CREATE TABLE fraud.mine (x int)",
        "CREATE TEMP TABLE mine (x int)",
    ],
)
def test_the_desk_may_do_no_more_than_it_needs(server: Settings, statement: str) -> None:
    with database(server, "fraud_desk") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


@pytest.mark.parametrize("role", ["fraud_reader", "fraud_writer", "fraud_notifier"])
@pytest.mark.parametrize("table", ["users", "desk_sessions", "api_tokens"])
def test_nobody_else_sees_what_opens_doors(server: Settings, role: str, table: str) -> None:
    with database(server, role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(f"SELECT * FROM fraud.{table}".encode())  # noqa: S608


def test_alerts_of_one_entity_and_typology_share_the_open_case(server: Settings) -> None:
    first = desk.add_alert(server, customer_id="carla", score=50.0)
    desk.adopt(server)
    second = desk.add_alert(server, customer_id="carla", score=91.0, level="critical")
    other = desk.add_alert(server, customer_id="carla", typology="card_testing")
    desk.adopt(server)
    rows = {
        each: one(server, "SELECT * FROM fraud.alerts WHERE alert_id = %s", each) for each in (first, second, other)
    }
    assert rows[first]["case_id"] == rows[second]["case_id"] != rows[other]["case_id"]
    case = one(server, "SELECT * FROM fraud.cases WHERE case_id = %s", rows[first]["case_id"])
    assert (case["alerts"], case["open_alerts"], case["top_score"]) == (2, 2, 91.0)
    assert rows[first]["version"] == 1, "being taken up is not a change that an analyst made"


def test_a_case_closes_with_its_last_alert_and_a_new_alert_opens_another(server: Settings) -> None:
    first = desk.add_alert(server, customer_id="dora")
    desk.adopt(server)
    case_id = one(server, "SELECT case_id FROM fraud.alerts WHERE alert_id = %s", first)["case_id"]
    change(server, first, status="closed", disposition="verified")
    assert one(server, "SELECT status FROM fraud.cases WHERE case_id = %s", case_id)["status"] == "closed"
    second = desk.add_alert(server, customer_id="dora")
    desk.adopt(server)
    assert one(server, "SELECT case_id FROM fraud.alerts WHERE alert_id = %s", second)["case_id"] != case_id
    change(server, first, status="in_review")
    row = one(server, "SELECT count(*) AS open FROM fraud.cases WHERE subject = 'dora' AND status = 'open'")
    assert row["open"] == 1, "reopening an old alert never makes a second open case"


def test_two_desks_adopt_each_alert_once(server: Settings) -> None:
    desk.adopt(server)
    before = one(server, "SELECT coalesce(sum(alerts), 0) AS n FROM mart.alerts_hourly")["n"]
    for _ in range(40):
        desk.add_alert(server, customer_id="elsa", tell=False)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: desk.adopt(server), range(4)))
    assert one(server, "SELECT sum(alerts) AS n FROM mart.alerts_hourly")["n"] == before + 40
    case = one(server, "SELECT * FROM fraud.cases WHERE subject = 'elsa' AND status = 'open'")
    assert (case["alerts"], case["open_alerts"]) == (40, 40)


def snooze(settings: Settings, rule: str, subject: str, until: datetime) -> int:
    with database(settings, "fraud_desk") as connection, connection.transaction():
        connection.execute("SELECT set_config('fraud.actor', 'ana', true)")
        row = connection.execute(
            "SELECT fraud.snooze(%s, 'customer', %s, %s, 'a known payee') AS id", (rule, subject, until)
        ).fetchone()
    assert row is not None
    return int(row["id"])


def test_snooze_hides_what_only_that_rule_raises_and_records_it_all_the_same(server: Settings) -> None:
    until = datetime.now(UTC) + timedelta(hours=4)
    old = desk.add_alert(server, customer_id="fay")
    desk.adopt(server)
    snooze_id = snooze(server, "PIX-1", "fay", until)
    alone = desk.add_alert(server, customer_id="fay")
    both = desk.add_alert(server, customer_id="fay", reasons=[desk.reason(), desk.reason("DEV-1", 10.0)])
    idle = desk.add_alert(server, customer_id="fay", reasons=[desk.reason(), desk.reason("DEV-1", 0.0)])
    other = desk.add_alert(server, customer_id="not-fay")
    desk.adopt(server)

    def hidden(alert_id: str) -> bool:
        row = one(server, "SELECT snoozed_until FROM fraud.alerts WHERE alert_id = %s", alert_id)
        return bool(row["snoozed_until"] == until)

    assert [hidden(each) for each in (old, alone, idle, both, other)] == [True, True, True, False, False]
    with database(server, "fraud_desk") as connection, connection.transaction():
        connection.execute("SELECT set_config('fraud.actor', 'ana', true)")
        connection.execute("SELECT fraud.end_snooze(%s)", (snooze_id,))
    assert not hidden(alone)


@pytest.mark.parametrize("disposition", Disposition)
def test_a_finding_is_a_label_in_the_same_transaction(server: Settings, disposition: Disposition) -> None:
    alert_id = desk.add_alert(server)
    change(server, alert_id, status="closed", disposition=disposition)
    with database(server) as connection:
        rows = connection.execute("SELECT * FROM fraud.label_outbox WHERE alert_id = %s", (alert_id,)).fetchall()
    wanted = LABELS[disposition]
    assert [row["label"] for row in rows] == ([wanted] if wanted else [])
    if wanted == "fraud":
        assert rows[0]["fraud_type"] == "pix_scam"


def test_a_finding_counts_for_each_rule_that_added_points_and_is_taken_back_by_reopening(server: Settings) -> None:
    rule, idle = "CNT-1", "CNT-2"
    alert_id = desk.add_alert(server, reasons=[desk.reason(rule), desk.reason(idle, 0.0)])
    query = "SELECT coalesce(sum(confirmed), 0) AS yes, count(*) AS rows FROM mart.v_rule_board WHERE rule_id = %s"
    change(server, alert_id, status="closed", disposition="confirmed_fraud")
    assert one(server, query, rule)["yes"] == 1
    assert one(server, query, idle)["rows"] == 0
    change(server, alert_id, status="in_review")
    assert one(server, query, rule)["yes"] == 0


def test_migration_brings_a_database_with_alerts_along(server: Settings) -> None:
    """Preparing again, as every start does, changes nothing."""
    alert_id = put_into(server, State.ESCALATED)
    before = one(server, "SELECT * FROM fraud.alerts WHERE alert_id = %s", alert_id)
    prepare_database(server)
    assert one(server, "SELECT * FROM fraud.alerts WHERE alert_id = %s", alert_id) == before

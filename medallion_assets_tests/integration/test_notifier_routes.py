"""Routes on a real database: cooldown, digests, quiet hours, escalation, card numbers, and the commands."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from fraud_domain.settings import Settings
from medallion_assets_tests.integration import desk, notifying
from medallion_assets_tests.integration.receivers import Answer, HttpReceiver, http_receiver
from medallion_assets_tests.pipeline import database
from medallion_services.cli import app
from medallion_services.embedded.environment import settings_environment
from medallion_services.embedded.throwaway import own_database
from medallion_services.notifier.channels import open_channels
from medallion_services.notifier.delivery import Delivery
from medallion_services.notifier.worker import open_pool


@pytest.fixture(scope="module")
def server() -> Iterator[Settings]:
    with own_database() as settings:
        yield notifying.with_notifier(settings)


@pytest.fixture(autouse=True)
def _clean(server: Settings) -> None:
    notifying.clean(server)


@pytest.fixture
def receiver(server: Settings) -> Iterator[HttpReceiver]:
    with http_receiver() as made:
        notifying.write_recipients(
            server, f"webhook: {{core: {{url: '{made.url}/core'}}, boss: {{url: '{made.url}/boss'}}}}\n"
        )
        yield made


def deliver(settings: Settings, now: datetime | None = None) -> list[str]:
    """Handle every row that is due, one after another, at a moment of one's choice."""
    outcomes = []
    with open_pool(settings, 2) as pool:
        clock = (lambda: now) if now else (lambda: datetime.now(UTC))
        delivery = Delivery(pool, open_channels(settings, pool), settings.notifier, "http://desk", clock)
        while (row := delivery.claim(())) is not None:
            outcomes.append(delivery.handle(row))
    return outcomes


def detected(settings: Settings, alert_id: str, at: datetime) -> None:
    """Say when an alert was detected."""
    with database(settings, "fraud_owner") as connection:
        connection.execute("ALTER TABLE fraud.alerts DISABLE TRIGGER USER")
        connection.execute("UPDATE fraud.alerts SET detected_at = %s WHERE alert_id = %s", (at, alert_id))
        connection.execute("ALTER TABLE fraud.alerts ENABLE TRIGGER USER")


def make_due(settings: Settings) -> None:
    """As if the moment of every held row had come."""
    with database(settings, "fraud_owner") as connection:
        connection.execute("UPDATE fraud.outbox SET next_attempt_at = now() WHERE status = 'pending'")


def test_cooldown_is_decided_by_detection_and_the_same_again_on_a_replay(
    server: Settings, receiver: HttpReceiver
) -> None:
    notifying.add_route(server, "webhook", "core", cooldown=timedelta(minutes=10))
    start = datetime.now(UTC) - timedelta(hours=2)
    for minutes in (0, 6, 11, 12):
        detected(server, notifying.alert(server, customer_id="same"), start + timedelta(minutes=minutes))
    detected(server, notifying.alert(server, customer_id="other"), start + timedelta(minutes=1))
    deliver(server)
    first = [row["status"] for row in notifying.rows(server)]
    assert first == ["sent", "skipped", "sent", "skipped", "sent"]
    with database(server, "fraud_owner") as connection:
        connection.execute("UPDATE fraud.outbox SET status = 'pending', decision = NULL, attempts = 0")
    deliver(server)
    assert [row["status"] for row in notifying.rows(server)] == first


def test_more_than_so_many_in_a_minute_come_as_one_digest(server: Settings, receiver: HttpReceiver) -> None:
    notifying.add_route(server, "webhook", "core", digest_above=3)
    start = (datetime.now(UTC) - timedelta(hours=1)).replace(second=0, microsecond=0)
    made = [notifying.alert(server) for _ in range(10)]
    for number, alert_id in enumerate(made):
        detected(server, alert_id, start + timedelta(seconds=number))
    assert deliver(server) == ["sent"] * 3 + ["held"] * 7
    make_due(server)
    assert deliver(server) == ["sent"]
    documents = [orjson.loads(request.body) for request in receiver.requests]
    assert [document["kind"] for document in documents] == ["alert"] * 3 + ["digest"]
    assert sorted(documents[-1]["alert_ids"]) == sorted(made[3:])
    assert notifying.statuses(server) == {"sent": 4, "skipped": 6}
    leader = documents[-1]["key"]
    reasons = {row["last_error"] for row in notifying.rows(server) if row["status"] == "skipped"}
    assert reasons == {f"told in digest {leader}"}


def test_a_digest_that_fails_is_sent_again_whole_and_with_its_key(server: Settings, receiver: HttpReceiver) -> None:
    notifying.add_route(server, "webhook", "core", digest_above=0)
    receiver.answer = lambda _: Answer(status=503 if len(receiver.requests) == 1 else 200)
    for _ in range(4):
        detected(server, notifying.alert(server), datetime.now(UTC) - timedelta(hours=1))
    assert deliver(server) == ["held"] * 4
    make_due(server)
    assert deliver(server) == ["failed"]
    make_due(server)
    assert deliver(server) == ["sent"]
    first, second = (orjson.loads(request.body) for request in receiver.requests)
    assert first["key"] == second["key"]
    assert first["alert_ids"] == second["alert_ids"]
    assert len(first["alert_ids"]) == 4


def test_what_came_in_quiet_hours_comes_in_the_morning_as_one(server: Settings, receiver: HttpReceiver) -> None:
    notifying.add_route(
        server, "webhook", "core", quiet_from="22:00", quiet_until="07:00", time_zone="America/Sao_Paulo"
    )
    night = datetime(2026, 3, 4, 3, 0, tzinfo=UTC)
    for _ in range(3):
        notifying.alert(server)
    notifying.alert(server, level="critical", score=95.0)
    assert deliver(server, night) == ["held", "held", "held", "sent"]
    held = [row["digest_at"] for row in notifying.rows(server) if row["digest_at"]]
    assert held == [datetime(2026, 3, 4, 10, 0, tzinfo=UTC)] * 3
    make_due(server)
    assert deliver(server, night) == ["sent"]
    kinds = [orjson.loads(request.body)["kind"] for request in receiver.requests]
    assert sorted(kinds) == ["alert", "digest"]


def test_an_alert_nobody_takes_is_told_to_somebody_else_once(server: Settings, receiver: HttpReceiver) -> None:
    notifying.add_route(
        server,
        "webhook",
        "core",
        escalate_after=timedelta(minutes=15),
        escalate_channel="webhook",
        escalate_recipient="boss",
    )
    waiting, taken, young = (notifying.alert(server) for _ in range(3))
    for alert_id in (waiting, taken):
        detected(server, alert_id, datetime.now(UTC) - timedelta(minutes=16))
    desk.adopt(server)
    with database(server, "fraud_desk") as connection, connection.transaction():
        connection.execute("SELECT set_config('fraud.actor', 'ana', true), set_config('fraud.note', '', true)")
        connection.execute("UPDATE fraud.alerts SET status = 'in_review' WHERE alert_id = %s", (taken,))
    deliver(server)
    from medallion_services.notifier import outbox

    with database(server, "fraud_notifier") as connection:
        assert outbox.escalate_overdue(connection) == 1
        assert outbox.escalate_overdue(connection) == 0
        refused = connection.execute("SELECT fraud.escalate(%s, 'webhook', 'boss') AS made", (young,)).fetchone()
        assert refused == {"made": False}
        stranger = connection.execute("SELECT fraud.escalate(%s, 'webhook', 'me') AS made", (waiting,)).fetchone()
        assert stranger == {"made": False}
    deliver(server)
    (escalated,) = (request for request in receiver.requests if request.path == "/boss")
    document = orjson.loads(escalated.body)
    assert (document["alert_id"], document["escalation"]) == (waiting, True)
    assert "Nobody has taken this alert yet." in document["body"]


def test_a_card_number_stays_here(server: Settings, receiver: HttpReceiver) -> None:
    notifying.add_route(server, "webhook", "core")
    leaking = desk.reason() | {"text": "card 4111111111111111 was used"}
    notifying.alert(server, reasons=[leaking])
    assert deliver(server) == ["dead"]
    assert receiver.requests == []
    (row,) = notifying.rows(server)
    assert "contains a card number" in row["last_error"]
    assert "4111111111111111" not in str(row)


def medallion(settings: Settings, *words: str) -> Any:
    """The outcome of a command."""
    return CliRunner().invoke(app, ["notify", *words], env=settings_environment(settings))


def test_routes_are_added_listed_and_removed_by_commands(server: Settings, receiver: HttpReceiver) -> None:
    added = medallion(
        server, "routes", "add", "webhook", "core", "--level", "high", "--typology", "pix_scam", "--min-amount",
        "500.00", "--language", "pt", "--time-zone", "America/Sao_Paulo", "--quiet", "22:00-07:00", "--cooldown", "10m",
        "--digest-above", "5", "--escalate-after", "15m", "--escalate-to", "webhook:boss", "--operations",
    )  # fmt: skip
    assert added.exit_code == 0, added.output
    listed = medallion(server, "routes", "list").stdout
    for part in (
        "webhook:core (pt): score from 0", "level from high", "only pix_scam", "amount from 500", "cooldown 0:10:00",
        "quiet 22:00-07:00 America/Sao_Paulo below critical", "digest above 5 a minute", "to webhook:boss",
        "operations",
    ):  # fmt: skip
        assert part in listed
    assert "delivered to webhook:core" in medallion(server, "test", "webhook", "core").stdout
    assert receiver.requests[0].headers["idempotency-key"].startswith("test-")
    assert medallion(server, "routes", "remove", "webhook", "core").exit_code == 0
    assert "nobody is told" in medallion(server, "routes", "list").stdout


def test_a_route_for_operations_only_gets_no_fraud_alert(server: Settings, receiver: HttpReceiver) -> None:
    assert medallion(server, "routes", "add", "webhook", "core", "--only-operations").exit_code == 0
    assert "no fraud alerts" in medallion(server, "routes", "list").stdout
    notifying.alert(server, score=100.0)
    assert notifying.rows(server) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("routes", "add", "fax", "core"), "there is no channel 'fax'"),
        (("routes", "add", "webhook", "https://x/s3cret"), "put the URL into the secret file"),
        (("routes", "add", "webhook", "core", "--level", "huge"), "the route was not added"),
        (("routes", "add", "webhook", "core", "--quiet", "late"), "not like 22:00-07:00"),
        (("routes", "add", "webhook", "core", "--quiet", "22:00-soon"), "the route was not added"),
        (("routes", "add", "webhook", "core", "--time-zone", "Mars/Base"), "is no time zone"),
        (("routes", "add", "webhook", "core", "--cooldown", "soon"), "is not a duration"),
        (("routes", "add", "webhook", "core", "--min-amount", "much"), "is no amount"),
        (("routes", "add", "webhook", "core", "--escalate-after", "5m"), "belong together"),
        (("routes", "remove", "webhook", "core"), "there is no route webhook:core"),
        (("test", "webhook", "nobody"), "has no webhook recipient 'nobody'"),
        (("test", "fax", "nobody"), "there is no channel 'fax'"),
        (("retry",), "name one message"),
        (("retry", "1"), "is not dead"),
    ],
)
def test_mistakes_are_said_in_words(server: Settings, words: tuple[str, ...], message: str) -> None:
    notifying.write_recipients(server, "webhook: {}\n")
    answer = medallion(server, *words)
    assert answer.exit_code == 1, answer.output
    assert message in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr


def test_dead_letters_are_seen_and_sent_again_with_their_key(server: Settings, receiver: HttpReceiver) -> None:
    notifying.add_route(server, "webhook", "core")
    receiver.answer = lambda _: Answer(status=404 if len(receiver.requests) <= 2 else 200)
    for _ in range(2):
        notifying.alert(server)
    assert deliver(server) == ["dead", "dead"]
    dead = medallion(server, "list", "--dead").stdout
    assert dead.count("HTTP 404") == 2
    assert "2 dead" in dead
    (first, second) = (str(row["outbox_id"]) for row in notifying.rows(server))
    assert "1 messages" in medallion(server, "retry", first).stdout
    assert deliver(server) == ["sent"]
    assert "1 messages" in medallion(server, "retry", "--dead").stdout
    assert deliver(server) == ["sent"]
    assert receiver.keys() == [f"outbox-{first}", f"outbox-{second}"] * 2


def test_the_watch_exits_with_one_when_something_is_wrong(server: Settings, receiver: HttpReceiver) -> None:
    assert medallion(server, "watch").exit_code == 0
    notifying.add_route(server, "webhook", "nobody")
    notifying.alert(server)
    assert deliver(server) == ["dead"]
    answer = medallion(server, "watch")
    assert answer.exit_code == 1
    assert "docs/runbook/notifications.md" in answer.stdout

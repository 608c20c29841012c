"""What fails in Dagster, falls silent or gets stuck is raised once, told by the outbox, and resolved."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, cast

import dagster as dg
import psycopg
import pytest

from fraud_domain.settings import Settings
from medallion_assets.defs.operations.definitions import failed_checks, failed_runs
from medallion_assets.platform import Platform
from medallion_assets_tests.integration import notifying
from medallion_assets_tests.integration.receivers import http_receiver
from medallion_assets_tests.pipeline import database
from medallion_services.embedded.throwaway import own_database
from medallion_services.notifier import watch


@pytest.fixture(scope="module")
def server() -> Iterator[Settings]:
    with own_database() as settings:
        yield notifying.with_notifier(settings)


@pytest.fixture(autouse=True)
def _clean(server: Settings) -> None:
    notifying.clean(server)
    with database(server, "fraud_owner") as connection:
        connection.execute("DELETE FROM fraud.stream_heartbeat")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@dg.op
def breaks() -> None:
    try:
        raise ConnectionError("connection to server at 127.0.0.1 failed: Connection refused")
    except ConnectionError as error:
        raise RuntimeError("the batch was not written") from error


@dg.job
def run_lake_streams() -> None:
    breaks()


def alarms(settings: Settings) -> list[dict[str, Any]]:
    with database(settings) as connection:
        return list(connection.execute("SELECT * FROM fraud.ops_alerts ORDER BY ops_id").fetchall())


def fail_and_tell(instance: dg.DagsterInstance, settings: Settings, job: dg.JobDefinition) -> None:
    """A run that fails, handed to the sensor."""
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not result.success
    tell(instance, settings, result)


def tell(instance: dg.DagsterInstance, settings: Settings, result: dg.ExecuteInProcessResult) -> None:
    """A failed run, handed to the sensor as Dagster does."""
    context = dg.build_run_status_sensor_context(
        sensor_name="failed_runs",
        dagster_event=result.get_run_failure_event(),
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        resources={"platform": Platform(settings)},
    ).for_run_failure()
    failed_runs(context)


def test_a_failing_run_is_raised_once_with_its_cause_and_told(server: Settings, instance: dg.DagsterInstance) -> None:
    notifying.add_route(server, "webhook", "ops", operations=True, min_score=101)
    for _ in range(3):
        fail_and_tell(instance, server, run_lake_streams)
    (alarm,) = alarms(server)
    assert alarm["key"] == "run:run_lake_streams:retry:the database does not answer"
    assert (alarm["severity"], alarm["page"], alarm["count"]) == ("warning", "database-down", 3)
    assert "Connection refused" in alarm["body"]
    with http_receiver() as receiver, notifying.worker(server):
        notifying.write_recipients(server, f"webhook: {{ops: {{url: '{receiver.url}/'}}}}\n")
        notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 1})
    (request,) = receiver.requests
    assert b"docs/runbook/database-down.md" in request.body


def test_after_the_cooldown_the_same_cause_is_told_anew(server: Settings) -> None:
    with database(server, "fraud_writer") as connection:
        for cooldown in (timedelta(hours=1), timedelta(hours=1), timedelta(0)):
            connection.execute(
                "SELECT fraud.raise_ops_alert('k', 'warning', 't', 'b', 'checks', %s)",
                (cooldown,),
            )
    first, second = alarms(server)
    assert (first["count"], second["count"]) == (2, 1)
    assert first["resolved_at"] is not None
    assert second["resolved_at"] is None


def test_a_failed_blocking_check_is_raised_and_resolved_when_it_passes(
    server: Settings, instance: dg.DagsterInstance
) -> None:
    state = {"passed": False}

    @dg.asset_check(asset=dg.AssetKey(["silver", "transactions"]), blocking=True)
    def key_is_unique() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=state["passed"], description="3 keys occur twice")

    @dg.asset_check(asset=dg.AssetKey(["silver", "transactions"]), blocking=False)
    def only_told() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN)

    location = dg.Definitions(
        assets=[dg.AssetSpec(["silver", "transactions"])],
        asset_checks=[key_is_unique, only_told],
        jobs=[dg.define_asset_job("checks", dg.AssetSelection.all_asset_checks())],
    )

    def check(passed: bool, cursor: str | None) -> tuple[str, str | None]:
        state["passed"] = passed
        result = location.resolve_job_def("checks").execute_in_process(instance=instance, raise_on_error=False)
        if not passed and not result.success:
            tell(instance, server, result)
        with dg.build_sensor_context(
            instance=instance, cursor=cursor, resources={"platform": Platform(server)}
        ) as context:
            answer = cast(dg.SkipReason, failed_checks(context))
            return str(answer.skip_message), context.cursor

    said, cursor = check(False, None)
    assert said == "2 evaluations: 1 raised, 0 counted, 0 resolved"
    (alarm,) = alarms(server)
    assert alarm["key"] == "check:silver.transactions:key_is_unique"
    assert (alarm["body"], alarm["page"]) == ("3 keys occur twice", "lost-checkpoint")
    said, cursor = check(False, cursor)
    assert said == "2 evaluations: 0 raised, 1 counted, 0 resolved"
    said, cursor = check(True, cursor)
    assert said == "2 evaluations: 0 raised, 0 counted, 1 resolved"
    assert alarms(server)[0]["resolved_at"] is not None


def beat(settings: Settings, stream: str, application: str, age: timedelta) -> None:
    with database(settings, "fraud_writer") as connection:
        connection.execute(
            "INSERT INTO fraud.stream_heartbeat (stream, application, generation, host, driver_pid, started_at,"
            " beat_at, state) VALUES (%s, %s, 'g', 'h', 1, now(), now() - %s, 'running')",
            (stream, application, age),
        )


def look(settings: Settings) -> set[str]:
    with database(settings, "fraud_notifier") as connection:
        return {finding.key for finding in watch.look(connection, settings)}


def test_a_silent_stream_is_raised_once_unless_it_was_stopped_on_purpose(server: Settings) -> None:
    beat(server, "alerts", "alerts", timedelta(minutes=4))
    beat(server, "bronze", "lake", timedelta(minutes=4))
    beat(server, "silver", "lake", timedelta(minutes=1))
    with database(server, "fraud_writer") as connection:
        connection.execute(
            "INSERT INTO fraud.stream_control (application, desired) VALUES ('lake', 'stopped')"
            " ON CONFLICT (application) DO UPDATE SET desired = 'stopped'"
        )
    assert look(server) == {"stream-silent:alerts"}
    assert look(server) == {"stream-silent:alerts"}
    (alarm,) = alarms(server)
    assert (alarm["count"], alarm["page"]) == (2, "stream-stopped")
    with database(server, "fraud_writer") as connection:
        connection.execute("UPDATE fraud.stream_heartbeat SET beat_at = now()")
    assert look(server) == set()
    assert alarms(server)[0]["resolved_at"] is not None


def test_messages_that_wait_too_long_or_died_are_raised(server: Settings) -> None:
    notifying.add_route(server, "webhook", "core")
    notifying.alert(server)
    assert look(server) == set()
    with database(server, "fraud_owner") as connection:
        connection.execute("UPDATE fraud.outbox SET created_at = now() - interval '6 minutes'")
    assert look(server) == {"outbox-old"}
    with database(server, "fraud_notifier") as connection:
        connection.execute("UPDATE fraud.outbox SET status = 'dead', last_error = 'HTTP 404'")
    assert look(server) == {"outbox-dead"}


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (
            "fraud_writer",
            "INSERT INTO fraud.ops_alerts (key, severity, title, body, page) VALUES ('k','info','t','b','p')",
        ),
        ("fraud_writer", "UPDATE fraud.ops_alerts SET resolved_at = now()"),
        ("fraud_reader", "SELECT fraud.raise_ops_alert('k', 'info', 't', 'b', 'p', interval '0')"),
        ("fraud_reader", "SELECT * FROM fraud.push_subscriptions"),
        ("fraud_notifier", "DELETE FROM fraud.outbox"),
        ("fraud_notifier", "DELETE FROM fraud.alerts"),
        ("fraud_notifier", "UPDATE fraud.outbox SET recipient = 'me'"),
        ("fraud_notifier", "UPDATE fraud.outbox SET alert_id = 'other'"),
        ("fraud_notifier", "UPDATE fraud.alerts SET status = 'closed'"),
        ("fraud_notifier", "INSERT INTO fraud.notification_route (channel, recipient) VALUES ('email', 'me')"),
        (
            "fraud_notifier",
            "INSERT INTO fraud.push_subscriptions (recipient, endpoint, p256dh, auth) VALUES ('a','b','c','d')",
        ),
        ("fraud_notifier", "SELECT password_hash FROM fraud.users"),
        ("fraud_notifier", "SELECT * FROM fraud.api_tokens"),
        ("fraud_notifier", "SELECT * FROM fraud.alert_context"),
        ("fraud_desk", "UPDATE fraud.notification_route SET enabled = false"),
        ("fraud_desk", "SELECT fraud.escalate('a', 'b', 'c')"),
    ],
)
def test_roles_of_notifications_may_do_no_more_than_they_need(server: Settings, role: str, statement: str) -> None:
    with (
        database(server, role) as connection,
        pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)),
    ):
        connection.execute(statement.encode())

"""A notifier under test: a database of its own, routes, alerts with their rows, and workers in threads."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fraud_domain.settings import Settings
from medallion_assets_tests.integration import desk
from medallion_assets_tests.pipeline import database
from medallion_services.notifier.worker import Worker, open_pool

_QUEUE = """
INSERT INTO fraud.outbox (alert_id, channel, recipient)
SELECT a.alert_id, r.channel, r.recipient FROM fraud.alerts a
JOIN fraud.notification_route r ON r.enabled AND a.score >= r.min_score WHERE a.alert_id = %s
ON CONFLICT DO NOTHING
"""


def with_notifier(settings: Settings, **notifier: Any) -> Settings:
    """The settings with others for the notifier."""
    changed = {"smtp_host": "127.0.0.1", "smtp_security": "none", "timeout_seconds": 2.0} | notifier
    values = settings.notifier.model_dump() | changed
    return settings.model_copy(update={"notifier": type(settings.notifier).model_validate(values)})


def write_recipients(settings: Settings, text: str) -> None:
    """The secret file."""
    (settings.secrets_dir / "notifications").write_text(text, encoding="utf-8")


def clean(settings: Settings) -> None:
    """No routes, no rows, no alerts of operations."""
    with database(settings, "fraud_owner") as connection:
        for table in ("outbox", "ops_alerts", "notification_route", "push_subscriptions"):
            connection.execute(f"DELETE FROM fraud.{table}".encode())  # noqa: S608 - names of this list


def add_route(settings: Settings, channel: str, recipient: str, **columns: Any) -> None:
    """A row of `fraud.notification_route`."""
    values = {"channel": channel, "recipient": recipient} | columns
    names = ", ".join(values)
    marks = ", ".join(f"%({name})s" for name in values)
    statement = f"INSERT INTO fraud.notification_route ({names}) VALUES ({marks})"  # noqa: S608 - names of a test
    with database(settings, "fraud_owner") as connection:
        connection.execute(statement.encode(), values)


def alert(settings: Settings, **changes: Any) -> str:
    """An alert with the rows that the stream would have written beside it."""
    alert_id = desk.add_alert(settings, tell=False, **changes)
    with database(settings, "fraud_writer") as connection:
        connection.execute(_QUEUE, (alert_id,))
        connection.execute("SELECT pg_notify('fraud_alerts', '1')")
    return alert_id


def rows(settings: Settings) -> list[dict[str, Any]]:
    """The outbox in order."""
    with database(settings, "fraud_notifier") as connection:
        return list(connection.execute("SELECT * FROM fraud.outbox ORDER BY outbox_id").fetchall())


def statuses(settings: Settings) -> dict[str, int]:
    """How many rows are in each status."""
    found: dict[str, int] = {}
    for row in rows(settings):
        found[row["status"]] = found.get(row["status"], 0) + 1
    return found


def say(text: str) -> None:
    """A figure for whoever reads the log of the tests."""
    sys.stdout.write(f"\n{text}\n")


def wait_for(condition: Callable[[], bool], seconds: float = 20.0, what: str = "") -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it did not within the time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


@contextmanager
def worker(settings: Settings) -> Iterator[Worker]:
    """A worker that runs in this process for the length of the block."""
    with open_pool(settings, settings.notifier.senders + 2) as pool:
        made = Worker(settings, pool)
        thread = threading.Thread(target=made.run)
        thread.start()
        try:
            yield made
        finally:
            made.stop()
            thread.join(30)
            assert not thread.is_alive()

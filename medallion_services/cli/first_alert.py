"""Show the first live alert after a start: the moment in which the platform has proved itself."""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row
from rich.markup import escape

from fraud_domain.settings import Settings

_POLL_SECONDS = 1.0
_QUERY = """
SELECT alert_id, subject_kind, subject, transaction_id, customer_id, card_last4, amount, currency, score, level,
       typology, reasons, event_time, kafka_timestamp, detected_at
FROM fraud.alerts WHERE kafka_timestamp >= %s ORDER BY detected_at, alert_id LIMIT 1
"""


def first_alert(connection: psycopg.Connection[Any], since: datetime) -> dict[str, Any] | None:
    """The first alert about a transaction that reached Kafka after `since`; older ones are loaded history."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_QUERY, (since,)).fetchone()


def describe(alert: Mapping[str, Any]) -> tuple[str, ...]:
    """The alert in a few lines of markup."""
    latency = (alert["detected_at"] - alert["kafka_timestamp"]).total_seconds()
    about = f" about {alert['subject_kind']} {alert['subject']}:" if alert["subject_kind"] != "customer" else ""
    card = f", card ending {alert['card_last4']}" if alert["card_last4"] else ""
    lines = [
        f"[bold red]FIRST ALERT[/] {escape(str(alert['level']))}, score {float(alert['score']):.0f}"
        f", {escape(str(alert['typology']))} [bold]({latency * 1000:.0f} ms after it reached Kafka)[/]",
        f" {escape(about)} {alert['amount']:,.2f} {escape(str(alert['currency']))}"
        f" by customer {escape(str(alert['customer_id']))}{card}, transaction {escape(str(alert['transaction_id']))}",
    ]
    for reason in alert["reasons"] or ():
        lines.append(f"  • {escape(str(reason.get('text', '')))} [dim]({escape(str(reason.get('rule_id', '')))})[/]")
    lines.append("  more: the dashboard, [bold]medallion alerts tail[/], [bold]medallion status[/]")
    return tuple(lines)


def _watch(settings: Settings, since: datetime, say: Callable[[str], None], stop: threading.Event) -> None:
    while not stop.wait(_POLL_SECONDS):
        try:
            parameters: dict[str, Any] = {**settings.postgres_parameters("fraud_reader"), "connect_timeout": 2}
            with psycopg.connect(**parameters, autocommit=True) as connection:
                while not stop.wait(_POLL_SECONDS):
                    if alert := first_alert(connection, since):
                        for line in describe(alert):
                            say(line)
                        return
        except psycopg.Error:
            # The database is restarting; status tells about that, here only the alert matters.
            continue


def announce_first_alert(
    settings: Settings, since: datetime, say: Callable[[str], None], stop: threading.Event
) -> threading.Thread:
    """Watch in the background until the first alert was shown or `stop` is set."""
    thread = threading.Thread(target=_watch, args=(settings, since, say, stop), name="first-alert", daemon=True)
    thread.start()
    return thread

"""Alerts as tables for a terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from medallion_services.dashboard.alert_view import AlertView

_WIDTHS = {"alert": 12, "score": 3, "detected": 8, "state": 6}
_TONES = {"critical": "bold red", "high": "dark_orange", "medium": "yellow"}


def _console() -> Console:
    return Console(highlight=False)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        right = column in ("score", "amount", "points")
        # An id that is cut cannot be typed; the reason gives way instead.
        table.add_column(column, justify="right" if right else "left", no_wrap=True, min_width=_WIDTHS.get(column))
    return table


def _state(row: Mapping[str, Any]) -> str:
    owner = f" ({row['assigned_to']})" if row["assigned_to"] else ""
    return escape(f"{row['disposition'] or row['status']}{owner}")


def _score(row: Mapping[str, Any]) -> str:
    return f"[{_TONES.get(row['level'], 'white')}]{row['score']:.0f}[/]"


def queue_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print alerts, one a line."""
    table = _table("score", "alert", "detected", "typology", "subject", "amount", "state", "why")
    for row in rows:
        table.add_row(
            _score(row),
            row["alert_id"][:12],
            row["detected_at"].strftime("%H:%M:%S"),
            escape(row["typology"]),
            escape(row["subject"]),
            f"{row['amount']:,.2f} {row['currency']}",
            _state(row),
            escape(row.get("first_reason") or ""),
        )
    _console().print(table)


def alert_sheet(view: "AlertView") -> None:
    """Print one alert: what, why, where from, what was done."""
    alert, console = view.alert, _console()
    console.print(f"{_score(alert)} [bold]{escape(alert['typology'])}[/] {alert['level']}, {_state(alert)}")
    console.print(
        f"{alert['amount']:,.2f} {alert['currency']} by {escape(alert['type'])} over {escape(alert['channel'])}, "
        f"{alert['subject_kind']} {escape(alert['subject'])}, {alert['event_time']:%Y-%m-%d %H:%M:%S %Z}"
    )
    reasons = _table("points", "rule", "why")
    for reason in alert["reasons"]:
        points = f"{float(reason.get('contribution') or 0):.0f}"
        reasons.add_row(points, escape(str(reason.get("rule_id", ""))), escape(str(reason.get("text", ""))))
    console.print(reasons)
    console.print(
        f"[dim]alert {alert['alert_id']}, transaction {escape(alert['transaction_id'])}, {alert['topic']}/"
        f"{alert['partition']}/{alert['offset']}, rules {alert['rule_set_version']}[/]"
    )
    for event in reversed(view.trail):
        after = event["new"].get("disposition") or event["new"].get("status") or ""
        note = f": {event['note']}" if event["note"] else ""
        console.print(
            f"  {event['at']:%m-%d %H:%M:%S} {escape(event['actor'])} {event['action']} {after}{escape(note)}"
        )

"""Everything an analyst needs to judge one alert, except what must be fetched from Kafka or the lake."""

import asyncio
from dataclasses import dataclass
from typing import Any, LiteralString

from medallion_services.dashboard.database import Database, Row
from medallion_services.dashboard.problems import Problem
from medallion_services.dashboard.queue import LISTED

TRAIL = 200
_ALERT: LiteralString = """
SELECT a.*, c.version AS case_version, c.status AS case_status, c.alerts AS case_alerts
FROM fraud.alerts a LEFT JOIN fraud.cases c USING (case_id) WHERE a.alert_id = %s
"""
_TRAIL: LiteralString = """
SELECT event_id, at, actor, action, previous, new, note FROM fraud.alert_event
WHERE alert_id = %s ORDER BY event_id DESC LIMIT %s
"""
_SHORT: LiteralString = (
    "a.alert_id, a.detected_at, a.amount, a.currency, a.score, a.level, a.typology, a.status, a.disposition,"
    " a.customer_id"
)
_DIRECT: LiteralString = (
    "SELECT " + _SHORT + " FROM fraud.alerts a WHERE {} = %s AND a.alert_id <> %s"  # noqa: S608 - literals only
    " ORDER BY a.detected_at DESC LIMIT 6"
)
# Materialised, so that the few rows of an entity are found first: the planner would rather walk all alerts by time.
_BY_CONTEXT: LiteralString = (
    "WITH x AS MATERIALIZED (SELECT alert_id FROM fraud.alert_context WHERE {} = %s LIMIT 500) SELECT "  # noqa: S608
    + _SHORT
    + " FROM x JOIN fraud.alerts a USING (alert_id)"
    " WHERE a.alert_id <> %s ORDER BY a.detected_at DESC LIMIT 6"
)
_OF_CUSTOMER: LiteralString = (
    "SELECT " + LISTED + " FROM fraud.alerts WHERE customer_id = %s ORDER BY event_time DESC LIMIT 50"  # noqa: S608
)
LINKS: dict[str, LiteralString] = {
    "customer": _DIRECT.replace("{}", "a.customer_id"),
    "card": _DIRECT.replace("{}", "a.card_token"),
    "merchant": _DIRECT.replace("{}", "a.merchant_id"),
    "device": _BY_CONTEXT.replace("{}", "device_id"),
    "terminal": _BY_CONTEXT.replace("{}", "terminal_id"),
    "ip": _BY_CONTEXT.replace("{}", "ip_address"),
}


@dataclass(frozen=True, slots=True)
class Linked:
    """Other alerts that share an entity: how many (six mean more), and those that no earlier entity has shown."""

    kind: str
    value: str
    count: int
    alerts: list[Row]


@dataclass(frozen=True, slots=True)
class AlertView:
    """The alert page."""

    alert: Row
    context: Row | None
    trail: list[Row]
    linked: list[Linked]
    snoozes: list[Row]


async def load(database: Database, alert_id: str) -> AlertView:
    """One alert with its surroundings.

    Raises:
        Problem: 404, there is none.
    """
    alert = await database.one(_ALERT, (alert_id,))
    if alert is None:
        raise Problem(404, "no such alert")
    context, trail, snoozes = await asyncio.gather(
        database.one("SELECT * FROM fraud.alert_context WHERE alert_id = %s", (alert_id,)),
        database.rows(_TRAIL, (alert_id, TRAIL)),
        database.rows(
            "SELECT * FROM fraud.snoozes WHERE subject_kind = %s AND subject = %s"
            " AND ended_at IS NULL AND until > now()",
            (alert["subject_kind"], alert["subject"]),
        ),
    )
    return AlertView(alert, context, trail, await _links(database, alert, context or {}), snoozes)


async def _links(database: Database, alert: Row, context: Row) -> list[Linked]:
    values = {
        "customer": alert["customer_id"],
        "card": alert["card_token"],
        "merchant": alert["merchant_id"],
        "device": context.get("device_id"),
        "terminal": context.get("terminal_id"),
        "ip": context.get("ip_address"),
    }
    present = {kind: value for kind, value in values.items() if value}
    found = await asyncio.gather(
        *(database.rows(LINKS[kind], (value, alert["alert_id"])) for kind, value in present.items())
    )
    seen: set[str] = set()
    links = []
    for (kind, value), rows in zip(present.items(), found, strict=True):
        # What an earlier entity has shown is not shown again: a card's alerts mostly are its customer's.
        links.append(Linked(kind, value, len(rows), [row for row in rows if row["alert_id"] not in seen]))
        seen |= {row["alert_id"] for row in rows}
    return links


def document(view: AlertView) -> dict[str, Any]:
    """The view as one JSON-like object, for the API."""
    links = [
        {"kind": each.kind, "value": each.value, "count": each.count, "alerts": each.alerts} for each in view.linked
    ]
    return {"alert": view.alert, "context": view.context, "trail": view.trail, "linked": links, "snoozes": view.snoozes}


async def neighbours(database: Database, customer_id: str) -> list[Row]:
    """The customer's last alerts, to mark them on the time line."""
    return await database.rows(_OF_CUSTOMER, (customer_id,))

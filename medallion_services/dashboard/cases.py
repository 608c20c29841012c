"""Cases: the alerts about one entity under one typology, worked on together."""

import asyncio
from enum import StrEnum
from typing import Any, LiteralString

from medallion_services.dashboard import keyset
from medallion_services.dashboard.database import Database, Row
from medallion_services.dashboard.problems import Problem
from medallion_services.dashboard.queue import LISTED, Page

_COLUMNS: LiteralString = (
    "case_id, subject_kind, subject, typology, status, top_score, alerts, open_alerts, amount, currency, assigned_to,"
    " version, opened_at, last_alert_at, closed_at"
)
_TRAIL: LiteralString = """
SELECT event_id, at, alert_id, actor, action, previous, new, note FROM fraud.alert_event
WHERE case_id = %s ORDER BY event_id DESC LIMIT 200
"""


class CaseStatus(StrEnum):
    """Whether any alert of it is open."""

    OPEN = "open"
    CLOSED = "closed"


async def page(database: Database, status: CaseStatus, cursor: str, limit: int) -> Page:
    """Cases by their highest score."""
    query: LiteralString = "SELECT " + _COLUMNS + " FROM fraud.cases WHERE status = %(status)s"  # noqa: S608
    parameters: dict[str, Any] = {"status": status, "limit": limit + 1}
    if cursor:
        score, identity = keyset.decode(cursor, float)
        if not identity.isdecimal() or len(identity) > 18:
            raise Problem(422, "the cursor is not one that this API gave out")
        query += " AND (top_score, case_id) < (%(score)s, %(case_id)s)"
        parameters |= {"score": score, "case_id": int(identity)}
    query += " ORDER BY top_score DESC, case_id DESC LIMIT %(limit)s"
    rows = await database.rows(query, parameters)
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(rows, keyset.encode(rows[-1]["top_score"], rows[-1]["case_id"]) if more else "")


async def load(database: Database, case_id: int) -> tuple[Row, list[Row], list[Row]]:
    """(case, its alerts, its trail), newest first.

    Raises:
        Problem: 404, there is none.
    """
    case, alerts, trail = await asyncio.gather(
        database.one("SELECT " + _COLUMNS + " FROM fraud.cases WHERE case_id = %s", (case_id,)),  # noqa: S608
        database.rows(
            "SELECT " + LISTED + " FROM fraud.alerts WHERE case_id = %s ORDER BY detected_at DESC LIMIT 200",  # noqa: S608
            (case_id,),
        ),
        database.rows(_TRAIL, (case_id,)),
    )
    if case is None:
        raise Problem(404, "no such case")
    return case, alerts, trail


async def snoozes(database: Database, active: bool) -> list[Row]:
    """Snoozes that run, soonest end first, or those that ended, newest first."""
    if active:
        return await database.rows(
            "SELECT * FROM fraud.snoozes WHERE ended_at IS NULL AND until > now() ORDER BY until LIMIT 500"
        )
    return await database.rows(
        "SELECT * FROM fraud.snoozes WHERE ended_at IS NOT NULL OR until <= now() ORDER BY snooze_id DESC LIMIT 200"
    )

"""What analysts change. The database checks each move and writes the trail; here are only the statements."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, LiteralString

from medallion_services.dashboard.database import Database, Row
from medallion_services.dashboard.problems import Problem, changed_meanwhile
from medallion_services.dashboard.queue import COLUMNS
from medallion_services.dashboard.states import Disposition, State, complaint

_CHANGE: LiteralString = (
    "UPDATE fraud.alerts SET status = %(status)s, disposition = %(disposition)s, assigned_to = %(assigned_to)s"  # noqa: S608
    " WHERE alert_id = %(alert_id)s AND version = %(version)s RETURNING " + COLUMNS
)


async def current(database: Database, alert_id: str) -> Row:
    """The alert as it is now.

    Raises:
        Problem: 404, there is none.
    """
    row = await database.one(f"SELECT {COLUMNS} FROM fraud.alerts WHERE alert_id = %s", (alert_id,))  # noqa: S608
    if row is None:
        raise Problem(404, "no such alert")
    return row


async def _change(
    database: Database, actor: str, note: str, before: Row, version: int, changes: Mapping[str, Any]
) -> Row:
    if before["version"] != version:
        raise changed_meanwhile(before["updated_by"], before["updated_at"], before["version"])
    values = {name: before[name] for name in ("alert_id", "status", "disposition", "assigned_to")}
    async with database.acting(actor, note) as connection:
        cursor = await connection.execute(_CHANGE, values | dict(changes) | {"version": version})
        after = await cursor.fetchone()
    if after is None:
        now = await current(database, before["alert_id"])
        raise changed_meanwhile(now["updated_by"], now["updated_at"], now["version"])
    return after


async def transition(
    database: Database, actor: str, alert_id: str, version: int, to: State, disposition: Disposition | None, note: str
) -> Row:
    """Move an alert; who takes it into review becomes its owner if it has none.

    Raises:
        Problem: 404; 409 when somebody was faster or the move is not allowed.
    """
    before = await current(database, alert_id)
    if before["version"] == version and (reason := complaint(State(before["status"]), to, disposition)):
        raise Problem(409, reason, code="refused")
    owner = before["assigned_to"] or (actor if to is State.IN_REVIEW else None)
    changes = {"status": to, "disposition": disposition, "assigned_to": owner}
    return await _change(database, actor, note, before, version, changes)


async def assign(database: Database, actor: str, alert_id: str, version: int, to: str | None) -> Row:
    """Give an alert to somebody, or to nobody; the first owner of a new alert also takes it into review.

    Raises:
        Problem: 404; 409 when somebody was faster or the alert is closed; 422 for an unknown person.
    """
    await require_person(database, actor, to)
    before = await current(database, alert_id)
    if before["version"] == version and before["assigned_to"] == to:
        return before
    starts = to is not None and before["status"] == State.NEW
    changes = {"assigned_to": to} | ({"status": State.IN_REVIEW} if starts else {})
    return await _change(database, actor, "", before, version, changes)


async def require_person(database: Database, actor: str, name: str | None) -> None:
    """Check that work can be given to `name`.

    Raises:
        Problem: 422, it is nobody who works at this desk.
    """
    if name is None or name == actor:
        return
    known = "SELECT 1 FROM fraud.users WHERE user_name = %s AND enabled AND role <> 'viewer'"
    if await database.one(known, (name,)) is None:
        raise Problem(422, f"'{name}' is no analyst of this desk")


async def note(database: Database, actor: str, alert_id: str, text: str) -> int:
    """Add a note to an alert's trail; returns the event's id.

    Raises:
        Problem: 404, there is no such alert.
    """
    return await _noted(database, actor, "SELECT fraud.note_alert(%s, %s) AS event", (alert_id, text), "alert")


async def note_case(database: Database, actor: str, case_id: int, text: str) -> int:
    """Add a note to a case's trail; returns the event's id.

    Raises:
        Problem: 404, there is no such case.
    """
    return await _noted(database, actor, "SELECT fraud.note_case(%s, %s) AS event", (case_id, text), "case")


async def _noted(
    database: Database, actor: str, query: LiteralString, parameters: tuple[Any, ...], what: LiteralString
) -> int:
    async with database.acting(actor) as connection:
        row = await (await connection.execute(query, parameters)).fetchone()
    if row is None or row["event"] is None:
        raise Problem(404, f"no such {what}")
    return int(row["event"])


async def assign_case(database: Database, actor: str, case_id: int, version: int, to: str | None) -> None:
    """Give a case and its open alerts to somebody.

    Raises:
        Problem: 404; 409 when somebody was faster; 422 for an unknown person.
    """
    await require_person(database, actor, to)
    async with database.acting(actor) as connection:
        cursor = await connection.execute("SELECT fraud.assign_case(%s, %s, %s) AS done", (case_id, version, to))
        row = await cursor.fetchone()
    if row is None or not row["done"]:
        await _case_changed(database, case_id)


async def _case_changed(database: Database, case_id: int) -> None:
    last = await database.one(
        "SELECT c.version, e.actor, e.at FROM fraud.cases c LEFT JOIN LATERAL (SELECT actor, at FROM fraud.alert_event"
        " WHERE case_id = c.case_id ORDER BY event_id DESC LIMIT 1) e ON true WHERE c.case_id = %s",
        (case_id,),
    )
    if last is None:
        raise Problem(404, "no such case")
    raise changed_meanwhile(last["actor"], last["at"], last["version"])


async def close_case(
    database: Database, actor: str, case_id: int, version: int, disposition: Disposition, text: str
) -> int:
    """Close all open alerts of a case with one finding, in one transaction; returns how many.

    Raises:
        Problem: 404; 409 when somebody was faster.
    """
    async with database.acting(actor, text) as connection:
        locked = await (
            await connection.execute(
                "SELECT 1 FROM fraud.cases WHERE case_id = %s AND version = %s", (case_id, version)
            )
        ).fetchone()
        if locked is not None:
            closed = await connection.execute(
                "UPDATE fraud.alerts SET status = 'closed', disposition = %s WHERE case_id = %s AND status <> 'closed'",
                (disposition, case_id),
            )
            return closed.rowcount
    await _case_changed(database, case_id)
    return 0


async def snooze(
    database: Database, actor: str, rule_id: str, kind: str, subject: str, until: datetime, reason: str
) -> int:
    """Hide alerts of a rule about one entity until a moment; returns the snooze's id."""
    async with database.acting(actor) as connection:
        cursor = await connection.execute(
            "SELECT fraud.snooze(%s, %s, %s, %s, %s) AS id", (rule_id, kind, subject, until, reason)
        )
        row = await cursor.fetchone()
    return int(row["id"]) if row else 0


async def end_snooze(database: Database, actor: str, snooze_id: int) -> None:
    """Let the alerts be seen again.

    Raises:
        Problem: 404, there is no such snooze that still runs.
    """
    async with database.acting(actor) as connection:
        row = await (await connection.execute("SELECT fraud.end_snooze(%s) AS done", (snooze_id,))).fetchone()
    if row is None or not row["done"]:
        raise Problem(404, "no such snooze, or it has been ended")

"""Alerts: list, read, change, export."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from medallion_services.dashboard import alert_view, export, message, queue, work
from medallion_services.dashboard.access import Principal, principal
from medallion_services.dashboard.api.models import (
    PREFIX,
    Alert,
    AlertId,
    AlertPage,
    Assignment,
    Closing,
    Created,
    Move,
    QueueQuery,
    Remark,
)
from medallion_services.dashboard.desk import Desk, desk
from medallion_services.dashboard.problems import Problem
from medallion_services.dashboard.states import State

router = APIRouter(prefix=PREFIX, tags=["alerts"])
Services = Annotated[Desk, Depends(desk)]
Who = Annotated[Principal, Depends(principal)]


@router.get("/alerts", response_model=AlertPage)
async def list_alerts(query: Annotated[QueueQuery, Query()], services: Services, who: Who) -> Any:
    """A page of the queue."""
    found = await queue.page(services.database, queue.Wanted(**query.model_dump()), who.name)
    return {"alerts": found.rows, "next_cursor": found.next_cursor}


@router.get("/alerts.csv", response_class=StreamingResponse)
async def export_alerts(query: Annotated[QueueQuery, Query()], services: Services, who: Who) -> StreamingResponse:
    """The queue as CSV, up to 100,000 rows; `limit` only sets the size of the first step."""
    wanted = queue.Wanted(**query.model_dump())
    first = await queue.page(services.database, wanted, who.name)
    lines = export.stream(services.database, wanted, who.name, first)
    headers = {"content-disposition": 'attachment; filename="alerts.csv"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/alerts/{alert_id}")
async def read_alert(alert_id: AlertId, services: Services) -> dict[str, Any]:
    """One alert with reasons, provenance, trail, linked alerts and running snoozes."""
    return alert_view.document(await alert_view.load(services.database, alert_id))


@router.get("/alerts/{alert_id}/transactions")
async def transactions(alert_id: AlertId, services: Services) -> dict[str, Any]:
    """The customer's last 50 transactions from the lake; those with an alert carry its id."""
    alert = await work.current(services.database, alert_id)
    found, alerts, version = await asyncio.gather(
        services.timeline(alert["customer_id"]),
        alert_view.neighbours(services.database, alert["customer_id"]),
        services.from_lake("alerts_version"),
    )
    by_transaction = {each["transaction_id"]: each["alert_id"] for each in alerts}
    rows = [row | {"alert_id": by_transaction.get(row["transaction_id"])} for row in found]
    return {"transactions": rows, "delta_version": version}


@router.get("/alerts/{alert_id}/message")
async def raw_message(alert_id: AlertId, services: Services) -> dict[str, Any]:
    """The Kafka message the alert was raised on, card numbers masked."""
    query = 'SELECT topic, partition, "offset" FROM fraud.alerts WHERE alert_id = %s'
    row = await services.database.one(query, (alert_id,))
    if row is None:
        raise Problem(404, "no such alert")
    position = (row["topic"], row["partition"], row["offset"])
    try:
        found = await asyncio.to_thread(message.read, services.settings, [position])
    except message.NoAnswerError as error:
        raise Problem(503, f"Kafka does not answer: {error}", {"Retry-After": "5"}) from error
    if position not in found:
        raise Problem(404, "the message is not in Kafka any more; bronze.transactions may still have it")
    return row | {"text": found[position].text, "document": found[position].document}


@router.post("/alerts/{alert_id}/transition", response_model=Alert)
async def move_alert(alert_id: AlertId, move: Move, services: Services, who: Who) -> Any:
    """Move an alert through its states; 409 tells when somebody was faster, or what is allowed."""
    done = await work.transition(
        services.database, who.name, alert_id, move.version, move.status, move.disposition, move.note
    )
    services.relay.wake()
    return done


@router.post("/alerts/{alert_id}/assign", response_model=Alert)
async def assign_alert(alert_id: AlertId, assignment: Assignment, services: Services, who: Who) -> Any:
    """Give an alert to somebody; a new one goes into review."""
    return await work.assign(services.database, who.name, alert_id, assignment.version, assignment.assigned_to)


@router.post("/alerts/{alert_id}/close", response_model=Alert)
async def close_alert(alert_id: AlertId, closing: Closing, services: Services, who: Who) -> Any:
    """Close an alert with a finding, which becomes a label."""
    done = await work.transition(
        services.database, who.name, alert_id, closing.version, State.CLOSED, closing.disposition, closing.note
    )
    services.relay.wake()
    return done


@router.post("/alerts/{alert_id}/notes", response_model=Created, status_code=201)
async def note_alert(alert_id: AlertId, remark: Remark, services: Services, who: Who) -> Any:
    """Add a note to the trail; notes are never changed."""
    return {"id": await work.note(services.database, who.name, alert_id, remark.text)}

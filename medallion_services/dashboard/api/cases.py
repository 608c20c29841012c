"""Cases and snoozes."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from medallion_services.dashboard import cases, work
from medallion_services.dashboard.access import Principal, principal
from medallion_services.dashboard.api.models import (
    PREFIX,
    Assignment,
    CaseDetail,
    CasePage,
    Closed,
    Closing,
    Created,
    Cursor,
    Id,
    Limit,
    Remark,
    Snoozing,
)
from medallion_services.dashboard.desk import Desk, desk

router = APIRouter(prefix=PREFIX, tags=["cases"])
Services = Annotated[Desk, Depends(desk)]
Who = Annotated[Principal, Depends(principal)]


@router.get("/cases", response_model=CasePage)
async def list_cases(
    services: Services, status: cases.CaseStatus = cases.CaseStatus.OPEN, cursor: Cursor = "", limit: Limit = 50
) -> Any:
    """A page of cases, highest score first."""
    found = await cases.page(services.database, status, cursor, limit)
    return {"cases": found.rows, "next_cursor": found.next_cursor}


@router.get("/cases/{case_id}", response_model=CaseDetail)
async def read_case(case_id: Id, services: Services) -> Any:
    """A case with its last 200 alerts and its trail."""
    case, alerts, trail = await cases.load(services.database, case_id)
    return {"case": case, "alerts": alerts, "trail": trail}


@router.post("/cases/{case_id}/assign", status_code=204)
async def assign_case(case_id: Id, assignment: Assignment, services: Services, who: Who) -> None:
    """Give a case and its open alerts to somebody."""
    await work.assign_case(services.database, who.name, case_id, assignment.version, assignment.assigned_to)


@router.post("/cases/{case_id}/close", response_model=Closed)
async def close_case(case_id: Id, closing: Closing, services: Services, who: Who) -> Any:
    """Close every open alert of a case with one finding."""
    closed = await work.close_case(
        services.database, who.name, case_id, closing.version, closing.disposition, closing.note
    )
    services.relay.wake()
    return {"closed": closed}


@router.post("/cases/{case_id}/notes", response_model=Created, status_code=201)
async def note_case(case_id: Id, remark: Remark, services: Services, who: Who) -> Any:
    """Add a note to a case."""
    return {"id": await work.note_case(services.database, who.name, case_id, remark.text)}


@router.get("/snoozes")
async def list_snoozes(services: Services, active: bool = True) -> dict[str, Any]:
    """Snoozes that run, or those that ended."""
    return {"snoozes": await cases.snoozes(services.database, active)}


@router.post("/snoozes", response_model=Created, status_code=201)
async def snooze(given: Snoozing, services: Services, who: Who) -> Any:
    """Hide alerts that only this rule raises about this entity, until a moment at most 90 days ahead."""
    made = await work.snooze(
        services.database, who.name, given.rule_id, given.subject_kind, given.subject, given.until, given.reason
    )
    return {"id": made}


@router.delete("/snoozes/{snooze_id}", status_code=204)
async def end_snooze(snooze_id: Id, services: Services, who: Who) -> None:
    """Let the alerts be seen again."""
    await work.end_snooze(services.database, who.name, snooze_id)

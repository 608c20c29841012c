"""Server-sent events: something happened, look again."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from sse_starlette import EventSourceResponse

from medallion_services.dashboard.api.models import PREFIX
from medallion_services.dashboard.desk import Desk, desk

router = APIRouter(prefix=PREFIX, tags=["events"])


@router.get("/events", response_class=EventSourceResponse)
async def events(
    services: Annotated[Desk, Depends(desk)], last_event_id: Annotated[str, Header(max_length=64)] = ""
) -> EventSourceResponse:
    """`alerts` (new ones were committed), `adopted` (cases and places are known), `desk` (somebody worked on an alert
    or case), `reset` (load everything anew). `Last-Event-ID` brings what was missed."""

    async def stream() -> AsyncIterator[dict[str, Any]]:
        async for event in services.hub.subscribe(last_event_id):
            yield {"id": event.id, "event": event.name, "data": event.data}

    return EventSourceResponse(stream(), ping=15)

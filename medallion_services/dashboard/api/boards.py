"""Figures: rules, streams, data health, metrics over time; and who is who."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from medallion_services.dashboard import boards
from medallion_services.dashboard.access import Principal, principal
from medallion_services.dashboard.api.models import PREFIX, Me, Period, Rule
from medallion_services.dashboard.desk import Desk, desk
from medallion_services.dashboard.metrics import METRICS

router = APIRouter(prefix=PREFIX, tags=["figures"])
Services = Annotated[Desk, Depends(desk)]
MetricName = StrEnum("MetricName", {name: name for name in METRICS})  # type: ignore[misc]


@router.get("/me", response_model=Me)
async def me(who: Annotated[Principal, Depends(principal)]) -> Any:
    """Who asks, and what they may."""
    return {"name": who.name, "role": who.role, "via": who.via}


@router.get("/users")
async def users(services: Services) -> dict[str, Any]:
    """Who may use the desk; people are added by `medallion users` only."""
    query = "SELECT user_name, role, enabled, created_at FROM fraud.users ORDER BY user_name LIMIT 1000"
    return {"users": await services.database.rows(query)}


@router.get("/rules", response_model=list[Rule])
async def rule_board(services: Services) -> Any:
    """Every rule: hits, findings, precision, whether it sleeps."""
    return await boards.rules(services)


@router.get("/streams")
async def streams(services: Services) -> dict[str, Any]:
    """Every stream as it is now."""
    return {"streams": await boards.streams(services)}


@router.get("/data")
async def data(services: Services) -> dict[str, Any]:
    """Freshness, quarantine, late rows, labels, reconciliation."""
    return await boards.data(services)


@router.get("/metrics/{name}")
async def metric(name: MetricName, services: Services, period: Period = "24h") -> dict[str, Any]:
    """The rows of one metric; what they hold is in docs/api.md."""
    return {"name": name, "period": period, "rows": await services.metric(name, period)}

"""The API under /api/v1."""

from fastapi import APIRouter

from medallion_services.dashboard.api import alerts, boards, cases, events, push


def routers() -> tuple[APIRouter, ...]:
    """All routes of the API; each carries its whole path, which is what `access.ACCESS` names."""
    return (alerts.router, cases.router, boards.router, events.router, push.router)

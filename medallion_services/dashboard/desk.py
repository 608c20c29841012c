"""What every route works with, made once by the application."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastapi import Request

from fraud_domain.settings import Settings
from medallion_services.dashboard import catalogue, checks, lake, metrics
from medallion_services.dashboard.adopt import Adopter
from medallion_services.dashboard.cache import Cache
from medallion_services.dashboard.database import Database, Row
from medallion_services.dashboard.labels import LabelRelay
from medallion_services.dashboard.live import Hub

_LAKE_FRESH = 30.0
_LAKE_STALE = 3600.0


@dataclass(slots=True)
class Desk:
    """The services of the dashboard, and the answers it keeps for some seconds."""

    settings: Settings
    database: Database
    hub: Hub = field(default_factory=Hub)
    cache: Cache = field(default_factory=Cache)
    adopter: Adopter = field(init=False)
    relay: LabelRelay = field(init=False)
    _lake: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))

    def __post_init__(self) -> None:
        self.adopter = Adopter(self.settings, self.database, self.hub)
        self.relay = LabelRelay(self.settings, self.database)

    async def names(self) -> catalogue.Names:
        """Rules and typologies by name."""
        found: catalogue.Names = await self.cache.get(
            "names", 60, lambda: asyncio.to_thread(catalogue.load_names, self.settings), stale=_LAKE_STALE
        )
        return found

    async def metric(self, name: str, period: str) -> list[Row]:
        """A metric, some seconds old at most."""
        found: list[Row] = await self.cache.get(
            ("metric", name, period),
            metrics.METRICS[name].fresh,
            lambda: metrics.ask(self.database, name, period),
        )
        return found

    async def headline(self, period: str) -> Row:
        """The figures at the top of the overview."""
        found: Row = await self.cache.get(
            ("headline", period), 2, lambda: metrics.headline(self.database, period), stale=30
        )
        return found

    async def from_lake(self, name: str) -> Any:
        """One of the lake's answers: `rule_truth`, `truth`, `refused`, `freshness`, `alerts_version`."""
        questions = {
            "rule_truth": lambda: lake.rule_truth(self.settings),
            "truth": lambda: lake.truth(self.settings),
            "refused": lambda: lake.refused(self.settings),
            "alerts_version": lambda: lake.version(self.settings, "gold.fraud_alerts"),
            "freshness": lambda: lake.freshness(self.settings, datetime.now(UTC)),
        }

        async def ask() -> Any:
            async with self._lake:
                return await asyncio.to_thread(questions[name])

        return await self.cache.get(("lake", name), _LAKE_FRESH, ask, stale=_LAKE_STALE)

    async def checks(self) -> dict[str, Any] | None:
        """The asset checks as Dagster has them; None when it does not answer."""
        found: dict[str, Any] | None = await self.cache.get(
            "checks", _LAKE_FRESH, lambda: asyncio.to_thread(checks.ask, self.settings), stale=_LAKE_STALE
        )
        return found

    async def timeline(self, customer_id: str) -> list[dict[str, Any]]:
        """The customer's last transactions from the lake."""

        async def ask() -> list[dict[str, Any]]:
            async with self._lake:
                return await asyncio.to_thread(lake.timeline, self.settings, customer_id)

        found: list[dict[str, Any]] = await self.cache.get(("timeline", customer_id), 10, ask, stale=10)
        return found


def desk(request: Request) -> Desk:
    """The services, as a dependency of a route."""
    found = request.app.state.desk
    assert isinstance(found, Desk)  # noqa: S101 - set by the application
    return found

"""Notifications on a device: a browser's subscription to web push, under the name of who is logged in."""

import asyncio
from typing import Annotated, Any

import psycopg
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from fraud_domain.settings import Settings
from medallion_services.dashboard.access import Principal, principal
from medallion_services.dashboard.api.models import PREFIX
from medallion_services.dashboard.database import ROLE
from medallion_services.dashboard.desk import Desk, desk
from medallion_services.dashboard.problems import Problem
from medallion_services.notifier import webpush
from medallion_services.notifier.backoff import RefusedError

router = APIRouter(prefix=f"{PREFIX}/push", tags=["push"])
Services = Annotated[Desk, Depends(desk)]
Who = Annotated[Principal, Depends(principal)]
Key = Annotated[str, Field(min_length=8, max_length=256, pattern=r"^[A-Za-z0-9_-]+=*$")]
Endpoint = Annotated[str, Field(min_length=8, max_length=2048)]


class Keys(BaseModel):
    """The browser's keys, base64url."""

    p256dh: Key
    auth: Key


class Subscription(BaseModel):
    """What `PushSubscription.toJSON()` gives."""

    model_config = ConfigDict(extra="ignore")

    endpoint: Endpoint
    keys: Keys


class Endpointed(BaseModel):
    """Which subscription."""

    endpoint: Endpoint


@router.get("/key")
async def key(services: Services) -> dict[str, str]:
    """The key that `pushManager.subscribe` wants."""
    return {"key": await asyncio.to_thread(_public_key, services.settings)}


@router.post("/subscriptions", status_code=204)
async def subscribe(wanted: Subscription, services: Services, who: Who) -> None:
    """Notify this device of what is routed to `push` and the name of who asks."""
    keys = wanted.keys
    await _as_desk(services.settings, webpush.subscribe, who.name, wanted.endpoint, keys.p256dh, keys.auth)


@router.delete("/subscriptions", status_code=204)
async def unsubscribe(wanted: Endpointed, services: Services, who: Who) -> None:
    """Leave this device alone."""
    await _as_desk(services.settings, webpush.unsubscribe, who.name, wanted.endpoint)


def _public_key(settings: Settings) -> str:
    webpush.ensure_vapid_key(settings)
    return webpush.public_key(settings)


async def _as_desk(settings: Settings, change: Any, *arguments: str) -> None:
    def run() -> None:
        with psycopg.connect(**settings.postgres_parameters(ROLE)) as connection:
            change(connection, *arguments)

    try:
        await asyncio.to_thread(run)
    except RefusedError as error:
        raise Problem(422, str(error)) from None

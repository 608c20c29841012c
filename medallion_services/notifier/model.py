"""What the notifier works on: routes, alerts, and messages ready to be sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

LEVELS = ("low", "medium", "high", "critical")
DESK = "desk"
"""The dashboard: its rows are delivered by being there."""


@dataclass(frozen=True, slots=True)
class Route:
    """A row of `fraud.notification_route`; the defaults tell everything at once."""

    channel: str
    recipient: str
    enabled: bool = True
    min_score: float = 0.0
    min_level: str | None = None
    typologies: tuple[str, ...] = ()
    min_amount: Decimal | None = None
    language: str = "en"
    time_zone: str = "UTC"
    quiet_from: time | None = None
    quiet_until: time | None = None
    quiet_except: str = "critical"
    cooldown: timedelta = timedelta(0)
    digest_above: int | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """What routing and messages need of an alert; money in `currency`, times UTC."""

    alert_id: str
    subject_kind: str
    subject: str
    typology: str
    level: str
    score: float
    amount: Decimal
    currency: str
    detected_at: datetime
    event_time: datetime
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """An earlier alert about the same subject and typology, with what routing filters by."""

    detected_at: datetime
    level: str
    score: float
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Message:
    """One message for one recipient. `key` stays the same however often it is sent."""

    key: str
    title: str
    body: str
    link: str = ""
    urgent: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)


def outbox_key(outbox_id: int) -> str:
    """The idempotency key of an outbox row."""
    return f"outbox-{outbox_id}"

"""What the API takes and gives. Money is a decimal in a string, times are ISO-8601 with an offset."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from medallion_services.dashboard.access import Role
from medallion_services.dashboard.queue import MAX_PAGE, Sort, View
from medallion_services.dashboard.states import Disposition, State

PREFIX = "/api/v1"
_BIGINT = 2**63 - 1
MAX_SNOOZE = timedelta(days=90)


def _storable(text: str) -> str:
    if "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("holds characters that cannot be stored")
    return text


Storable = AfterValidator(_storable)
Word = Annotated[str, StringConstraints(max_length=256), Storable]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4000, strip_whitespace=True), Storable]
Note = Annotated[str, StringConstraints(max_length=4000, strip_whitespace=True), Storable]
Person = Annotated[str, StringConstraints(min_length=1, max_length=40), Storable]
Version = Annotated[int, Field(ge=1, le=2**31 - 1)]
AlertId = Annotated[str, Path(min_length=1, max_length=128), Storable]
Id = Annotated[int, Path(ge=1, le=_BIGINT)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
Cursor = Annotated[str, Query(max_length=512)]
Period = Literal["1h", "24h", "7d", "30d"]


class Given(BaseModel):
    """Base of what clients send: unknown members are errors."""

    model_config = ConfigDict(extra="forbid")


class QueueQuery(Given):
    """Filters of the queue; all that are given must hold."""

    view: View = View.OPEN
    sort: Sort | None = None
    level: Literal["", "low", "medium", "high", "critical"] = ""
    typology: Word = ""
    channel: Word = ""
    currency: Word = ""
    disposition: Disposition | Literal[""] = ""
    q: Word = ""
    cursor: Annotated[str, Field(max_length=512)] = ""
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50


class Move(Given):
    """A move of the state machine; `version` is the one that was read."""

    version: Version
    status: State
    disposition: Disposition | None = None
    note: Note = ""


class Assignment(Given):
    """To whom; null gives the work back."""

    version: Version
    assigned_to: Person | None


class Closing(Given):
    """A finding."""

    version: Version
    disposition: Disposition
    note: Note = ""


class Remark(Given):
    """A note."""

    text: Text


def _soon(until: datetime) -> datetime:
    if not datetime.now(UTC) < until <= datetime.now(UTC) + MAX_SNOOZE:
        raise ValueError(f"must lie ahead, at most {MAX_SNOOZE.days} days")
    return until


class Snoozing(Given):
    """Hide alerts that only this rule raises about this entity."""

    rule_id: Annotated[str, StringConstraints(min_length=1, max_length=64), Storable]
    subject_kind: Literal["customer", "device", "merchant", "terminal", "ip"]
    subject: Annotated[str, StringConstraints(min_length=1, max_length=256), Storable]
    until: Annotated[AwareDatetime, AfterValidator(_soon)]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True), Storable]


class Alert(BaseModel):
    """An alert as the queue shows it."""

    alert_id: str
    transaction_id: str
    customer_id: str
    card_last4: str | None
    merchant_id: str | None
    subject_kind: str
    subject: str
    event_time: datetime
    detected_at: datetime
    amount: Decimal
    currency: str
    type: str
    channel: str
    score: float
    level: str
    typology: str
    status: State
    disposition: Disposition | None
    assigned_to: str | None
    case_id: int | None
    snoozed_until: datetime | None
    version: int
    updated_at: datetime | None
    updated_by: str | None
    first_reason: str | None = None


class AlertPage(BaseModel):
    """A page of the queue; `next_cursor` is empty at the end."""

    alerts: list[Alert]
    next_cursor: str


class Case(BaseModel):
    """Alerts about one entity under one typology."""

    case_id: int
    subject_kind: str
    subject: str
    typology: str
    status: str
    top_score: float
    alerts: int
    open_alerts: int
    amount: Decimal
    currency: str
    assigned_to: str | None
    version: int
    opened_at: datetime
    last_alert_at: datetime
    closed_at: datetime | None


class CasePage(BaseModel):
    """A page of cases."""

    cases: list[Case]
    next_cursor: str


class CaseDetail(BaseModel):
    """A case with its alerts and trail."""

    case: Case
    alerts: list[Alert]
    trail: list[dict[str, Any]]


class Created(BaseModel):
    """The id of what was made."""

    id: int


class Closed(BaseModel):
    """How many alerts were closed."""

    closed: int


class Me(BaseModel):
    """Who asks."""

    name: str
    role: Role
    via: str


class Rule(BaseModel):
    """A rule of the board."""

    rule_id: str
    title: str
    typology: str
    status: str
    weight: int | None
    owner: str
    hits_today: int
    hits_7d: int
    hits_30d: int
    alerts_30d: int
    shadow_hits_30d: int
    confirmed: int
    refuted: int
    undecided: int
    last_hit: date | None
    precision: float | None
    label_fraud: int
    label_legit: int
    label_precision: float | None
    dormant: bool

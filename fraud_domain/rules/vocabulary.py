"""The names a rule may use: contract fields, fields derived from them, and the kinds of value they hold.

A derived field is a pure function of contract fields of the same event. Numbers of the language are int or
Decimal, never float; coordinates take part only through distances.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from fraud_domain.contract import AccountEvent, FieldSpec, FraudLabel, Transaction, field_specs
from fraud_domain.rules.durations import HOUR, SECOND
from fraud_domain.rules.geo import distance_km


class Kind(StrEnum):
    """Kinds of value in the language."""

    NUMBER = "number"
    TEXT = "text"
    FLAG = "flag"
    TIME = "time"
    DURATION = "duration"
    COORDINATE = "coordinate"
    NUMBERS = "list of numbers"
    TEXTS = "list of texts"
    TABLE = "table of numbers"
    LIST = "list that people keep"
    NOTHING = "missing value"


class Origin(StrEnum):
    """What a feature is about; each has fields of its own."""

    TRANSACTIONS = "transactions"
    LABELS = "labels"
    ACCOUNT_EVENTS = "account_events"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an event, contract or derived."""

    name: str
    kind: Kind
    nullable: bool
    description: str
    values: tuple[str, ...] = ()
    exact: bool = False
    """Whether it is a Decimal."""


@dataclass(frozen=True, slots=True)
class DerivedField:
    """A field computed from `inputs`, passed to `compute` in that order."""

    field: Field
    inputs: tuple[str, ...]
    compute: Callable[..., Any]


PRESENT_CHANNELS = frozenset({"POS", "ATM"})
PRESENT_ENTRIES = frozenset({"CHIP", "CONTACTLESS", "MAGSTRIPE"})
REMOTE_CHANNELS = frozenset({"ECOMMERCE", "MOBILE_APP", "WEB_BANKING", "PHONE"})
CARD_TYPES = frozenset({"CREDIT_CARD", "DEBIT_CARD", "PREPAID_CARD"})

_QUARTER_US = 900 * SECOND


@lru_cache(maxsize=16_384)
def _offset_us(zone: str, quarter: int) -> int | None:
    """UTC offset in microseconds; offsets change only on quarter hours, so one look-up serves all of it."""
    try:
        moment = datetime.fromtimestamp(quarter * 900, UTC).astimezone(ZoneInfo(zone))
    except (KeyError, ValueError, OSError, OverflowError):
        return None
    offset = moment.utcoffset()
    return None if offset is None else round(offset.total_seconds()) * SECOND


def local_hour(event_time: int, zone: str | None) -> int | None:
    """Hour of the day (0-23) on the customer's clock; None without a zone that the system knows."""
    if zone is None:
        return None
    offset = _offset_us(zone, event_time // _QUARTER_US)
    return None if offset is None else (event_time + offset) // HOUR % 24


def card_present(channel: str, entry_mode: str | None) -> bool:
    """Whether the plastic was at a terminal: chip, contactless or stripe at POS or ATM."""
    return entry_mode in PRESENT_ENTRIES and channel in PRESENT_CHANNELS


def card_not_present(kind: str, channel: str) -> bool:
    """Whether a card paid remotely: web, app, phone."""
    return channel in REMOTE_CHANNELS and kind in CARD_TYPES


_KINDS = {
    "string": Kind.TEXT,
    "enum": Kind.TEXT,
    "decimal": Kind.NUMBER,
    "integer": Kind.NUMBER,
    "timestamp": Kind.TIME,
    "boolean": Kind.FLAG,
    "double": Kind.COORDINATE,
}

_LABEL_FIELDS = ("label", "fraud_type", "source")
_ACCOUNT_FIELDS = ("action", "device_id", "ip_address", "ip_country")

_PLACE = ("latitude", "longitude")
_BILLING = ("billing_latitude", "billing_longitude")
_SHIPPING = ("shipping_latitude", "shipping_longitude")

DERIVED = {
    derived.field.name: derived
    for derived in (
        DerivedField(
            Field("local_hour", Kind.NUMBER, True, "Hour 0-23 on the clock of customer_timezone"),
            ("event_time", "customer_timezone"),
            local_hour,
        ),
        DerivedField(
            Field("card_present", Kind.FLAG, False, "Chip, contactless or stripe at POS or ATM"),
            ("channel", "entry_mode"),
            card_present,
        ),
        DerivedField(
            Field("card_not_present", Kind.FLAG, False, "Card payment by web, app or phone"),
            ("type", "channel"),
            card_not_present,
        ),
        DerivedField(
            Field("shipping_distance_km", Kind.NUMBER, True, "Billing to delivery address, whole km"),
            (*_BILLING, *_SHIPPING),
            distance_km,
        ),
        DerivedField(
            Field("home_distance_km", Kind.NUMBER, True, "Billing address to place of purchase, whole km"),
            (*_BILLING, *_PLACE),
            distance_km,
        ),
    )
}


def _fields(specs: tuple[FieldSpec, ...]) -> dict[str, Field]:
    return {
        s.name: Field(
            s.name,
            _KINDS[s.kind],
            not s.required,
            s.description,
            tuple(str(value) for value in s.values),
            s.kind == "decimal",
        )
        for s in specs
    }


FIELDS: dict[str, Field] = _fields(field_specs(Transaction)) | {
    name: derived.field for name, derived in DERIVED.items()
}

ORIGIN_FIELDS: dict[Origin, dict[str, Field]] = {
    Origin.TRANSACTIONS: FIELDS,
    Origin.LABELS: {
        "event_time": Field("event_time", Kind.TIME, False, "When the label became known"),
        "transaction_id": Field("transaction_id", Kind.TEXT, False, "The transaction judged"),
        **{name: field for name, field in _fields(field_specs(FraudLabel)).items() if name in _LABEL_FIELDS},
    },
    Origin.ACCOUNT_EVENTS: {
        "event_time": Field("event_time", Kind.TIME, False, "When it happened"),
        "event_id": Field("event_id", Kind.TEXT, False, "Unique id"),
        **{name: field for name, field in _fields(field_specs(AccountEvent)).items() if name in _ACCOUNT_FIELDS},
    },
}
"""Fields by origin. Rows of labels and account events hold just these, time and identity first."""

RESERVED = frozenset({"current", "n", "window", "min", "max", "abs"})
"""Names with a meaning of their own; a feature or parameter cannot take them."""

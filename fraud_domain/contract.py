"""Event contract v1: what a transaction and a fraud label look like on the wire.

The two pydantic models are the one source. `field_specs()` reads them into a neutral description from
which the JSON Schema (`json_schema()`), the Spark parse and lake schemas (`spark_jobs/contract.py`) and
the test data builders are derived. Labels never travel in a transaction: they have a topic of their own.
"""

import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from annotated_types import Ge, Le, MaxLen
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

SCHEMA_VERSION = 1
AMOUNT_PRECISION, AMOUNT_SCALE = 18, 4
MAX_TEXT = 256
MAX_MESSAGE_BYTES = 64 * 1024
"""A transaction of the contract is about 1 kB; anything far above it is an attack or a mistake."""


OLDEST_EVENT = datetime(2000, 1, 1, tzinfo=UTC)
"""Older times are a default value or a broken clock, and each would open a partition of its own."""


class TransactionType(StrEnum):
    """How money moves."""

    PIX = "PIX"
    CREDIT_CARD = "CREDIT_CARD"
    DEBIT_CARD = "DEBIT_CARD"
    PREPAID_CARD = "PREPAID_CARD"
    BOLETO = "BOLETO"
    TED = "TED"
    DOC = "DOC"
    AUTO_DEBIT = "AUTO_DEBIT"
    WITHDRAWAL = "WITHDRAWAL"
    DEPOSIT = "DEPOSIT"
    TOPUP = "TOPUP"
    WALLET = "WALLET"


class Channel(StrEnum):
    """Where the customer stood."""

    POS = "POS"
    ECOMMERCE = "ECOMMERCE"
    MOBILE_APP = "MOBILE_APP"
    WEB_BANKING = "WEB_BANKING"
    ATM = "ATM"
    BRANCH = "BRANCH"
    PHONE = "PHONE"


class Status(StrEnum):
    """What the issuer answered."""

    APPROVED = "APPROVED"
    DECLINED = "DECLINED"
    PENDING = "PENDING"
    REVERSED = "REVERSED"


class EntryMode(StrEnum):
    """How the card was read."""

    CHIP = "CHIP"
    CONTACTLESS = "CONTACTLESS"
    MAGSTRIPE = "MAGSTRIPE"
    MANUAL = "MANUAL"
    ECOMMERCE = "ECOMMERCE"


class CheckResult(StrEnum):
    """Outcome of a CVV, AVS or PIN check; the checked secret itself is never accepted."""

    MATCH = "MATCH"
    NO_MATCH = "NO_MATCH"
    PARTIAL = "PARTIAL"
    NOT_CHECKED = "NOT_CHECKED"


class Label(StrEnum):
    """Ground truth of a transaction, as it becomes known."""

    FRAUD = "fraud"
    LEGIT = "legit"


class LabelSource(StrEnum):
    """Who says so."""

    CHARGEBACK = "chargeback"
    ANALYST = "analyst"
    CUSTOMER = "customer"


class AccountAction(StrEnum):
    """What happened to an account, other than a payment."""

    LOGIN = "LOGIN"
    LOGIN_FAILED = "LOGIN_FAILED"
    DEVICE_ADDED = "DEVICE_ADDED"
    PASSWORD_CHANGED = "PASSWORD_CHANGED"  # noqa: S105 - an action, not a password
    EMAIL_CHANGED = "EMAIL_CHANGED"
    PHONE_CHANGED = "PHONE_CHANGED"
    ADDRESS_CHANGED = "ADDRESS_CHANGED"


ISO_WITH_OFFSET = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})$"
EPOCH_MS = r"^-?\d{1,14}$"
AMOUNT = rf"^-?\d{{1,{AMOUNT_PRECISION - AMOUNT_SCALE}}}(\.\d{{1,{AMOUNT_SCALE}}})?$"
NUMBER = r"^-?\d{1,15}(\.\d{1,20})?([eE][+-]?\d{1,3})?$"
INTEGER = r"^-?\d{1,9}$"
"""The texts that count as a time, an amount, a number: one definition for Python and for Spark."""


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def _matches(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None


def parse_event_time(value: object) -> object:
    """Accept an ISO-8601 text with an offset, or epoch milliseconds as an integer or digits.

    Raises:
        ValueError: anything else, such as a local time without an offset.
    """
    if isinstance(value, datetime):
        return value
    text = str(value)
    if not isinstance(value, bool | float) and _matches(EPOCH_MS, text):
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(text))
    if isinstance(value, str) and _matches(ISO_WITH_OFFSET, text):
        return value
    raise ValueError("event time must be ISO-8601 with an offset, or epoch milliseconds")


def _digits(pattern: str) -> Callable[[object], object]:
    """Refuse texts that only look like a number to a lenient parser, and booleans."""

    def check(value: object) -> object:
        if isinstance(value, bool) or (isinstance(value, str) and not _matches(pattern, value)):
            raise ValueError("not a number")
        return value

    return check


def _whole(value: object) -> object:
    if isinstance(value, float):
        raise ValueError("not a whole number")
    return value


def _truth(value: object) -> object:
    """JSON true and false, also as text; nothing else."""
    if value in ("true", "false") or isinstance(value, bool):
        return value
    raise ValueError("not true or false")


SCIENTIFIC = r"^-?\d\.\d+E-?\d+$"


def _as_text(value: object) -> object:
    """A number or a truth value may stand for a text; a very small or large fraction has no one spelling."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value and not 1e-3 <= abs(value) < 1e7:
        raise ValueError("not a text")
    return value


def _plain_text(value: str) -> str:
    """A nested object, an array or a number in scientific notation is not a text, whatever a lenient parser says."""
    if value.startswith(("{", "[")) or ("E" in value and _matches(SCIENTIFIC, value)):
        raise ValueError("not a text")
    return value


_TEXT = (AfterValidator(_plain_text), BeforeValidator(_as_text))
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT), *_TEXT]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128), *_TEXT]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
EventTime = Annotated[AwareDatetime, BeforeValidator(parse_event_time, json_schema_input_type=AwareDatetime | int)]
Flag = Annotated[bool, BeforeValidator(_truth)]
Latitude = Annotated[float, Field(ge=-90, le=90), BeforeValidator(_digits(NUMBER))]
Longitude = Annotated[float, Field(ge=-180, le=180), BeforeValidator(_digits(NUMBER))]
Money = Annotated[
    Decimal,
    Field(max_digits=AMOUNT_PRECISION, decimal_places=AMOUNT_SCALE),
    BeforeValidator(_digits(AMOUNT)),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": AMOUNT}]}),
]
Instalments = Annotated[int, Field(ge=1, le=120), BeforeValidator(_whole), BeforeValidator(_digits(INTEGER))]
Version = Annotated[int, Field(ge=1), BeforeValidator(_whole), BeforeValidator(_digits(INTEGER))]


class Event(BaseModel):
    """Base of everything that travels on a topic: unknown fields are ignored and reported as drift."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True, use_enum_values=True)


class Transaction(Event):
    """One payment attempt. `amount` < 0 is a refund, 0 a card verification."""

    transaction_id: Annotated[Identifier, Field(description="Unique for ever, also across producer restarts")]
    event_time: Annotated[EventTime, Field(description="When it happened: ISO-8601 with offset, or epoch ms")]
    customer_id: Annotated[Identifier, Field(description="Account holder; also the Kafka key")]
    amount: Annotated[Money, Field(description="In `currency`; negative = refund, zero = card verification")]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), Field(description="ISO 4217 code")]
    type: Annotated[TransactionType, Field(description="How the money moves")]
    channel: Annotated[Channel, Field(description="Where the customer stood")]
    status: Annotated[Status, Field(description="What the issuer answered")]

    decline_reason: Annotated[Text | None, Field(description="Issuer's reason when declined")] = None
    card_token: Annotated[Identifier | None, Field(description="Keyed token of the card number")] = None
    card_last4: Annotated[
        Annotated[str, StringConstraints(pattern=r"^[0-9]{4}$")] | None, Field(description="Last four digits")
    ] = None
    card_brand: Annotated[Text | None, Field(description="Scheme, such as VISA")] = None
    entry_mode: Annotated[EntryMode | None, Field(description="How the card was read")] = None
    merchant_id: Annotated[Identifier | None, Field(description="Acquirer's merchant id")] = None
    merchant_name: Annotated[Text | None, Field(description="Merchant as shown to the customer")] = None
    mcc: Annotated[
        Annotated[str, StringConstraints(pattern=r"^[0-9]{4}$")] | None,
        Field(description="Merchant category code, ISO 18245"),
    ] = None
    merchant_country: Annotated[Country | None, Field(description="ISO 3166-1 alpha-2")] = None
    terminal_id: Annotated[Identifier | None, Field(description="Card terminal or ATM")] = None
    latitude: Annotated[Latitude | None, Field(description="Place of the purchase, degrees north")] = None
    longitude: Annotated[Longitude | None, Field(description="Place of the purchase, degrees east")] = None
    billing_country: Annotated[Country | None, Field(description="Billing address, ISO 3166-1")] = None
    billing_state: Annotated[Text | None, Field(description="Billing address, state or region")] = None
    billing_latitude: Annotated[Latitude | None, Field(description="Billing address, degrees north")] = None
    billing_longitude: Annotated[Longitude | None, Field(description="Billing address, degrees east")] = None
    shipping_country: Annotated[Country | None, Field(description="Delivery address, ISO 3166-1")] = None
    shipping_state: Annotated[Text | None, Field(description="Delivery address, state or region")] = None
    shipping_latitude: Annotated[Latitude | None, Field(description="Delivery address, degrees north")] = None
    shipping_longitude: Annotated[Longitude | None, Field(description="Delivery address, degrees east")] = None
    home_country: Annotated[Country | None, Field(description="Customer's country of residence")] = None
    device_id: Annotated[Identifier | None, Field(description="Device fingerprint")] = None
    ip_address: Annotated[Text | None, Field(description="Client address, IPv4 or IPv6")] = None
    ip_country: Annotated[Country | None, Field(description="Country of the client address")] = None
    cvv_result: Annotated[CheckResult | None, Field(description="Outcome of the CVV check, never the CVV")] = None
    avs_result: Annotated[CheckResult | None, Field(description="Outcome of the address check")] = None
    pin_result: Annotated[CheckResult | None, Field(description="Outcome of the PIN check")] = None
    auth_3ds: Annotated[Flag | None, Field(description="Strong customer authentication was done")] = None
    installments: Annotated[Instalments | None, Field(description="Number of instalments")] = None
    pix_key_type: Annotated[Text | None, Field(description="CPF, CNPJ, PHONE, EMAIL or RANDOM")] = None
    pix_key: Annotated[Text | None, Field(description="Destination key of a PIX payment")] = None
    destination_bank: Annotated[Text | None, Field(description="Bank that receives the money")] = None
    customer_timezone: Annotated[Text | None, Field(description="IANA zone, such as America/Sao_Paulo")] = None
    schema_version: Annotated[Version | None, Field(description="Contract version; absent = 1")] = None


class FraudLabel(Event):
    """What became known about a transaction, and when."""

    transaction_id: Annotated[Identifier, Field(description="The transaction judged")]
    label: Annotated[Label, Field(description="fraud or legit")]
    fraud_type: Annotated[Text | None, Field(description="Kind of fraud, when known")] = None
    source: Annotated[LabelSource, Field(description="Who says so")]
    label_time: Annotated[EventTime, Field(description="When it became known")]
    terminal_id: Annotated[Identifier | None, Field(description="Terminal of the transaction, if known")] = None
    merchant_id: Annotated[Identifier | None, Field(description="Merchant of the transaction, if known")] = None
    device_id: Annotated[Identifier | None, Field(description="Device of the transaction, if known")] = None


class AccountEvent(Event):
    """What a customer, or somebody in their name, did to the account."""

    event_id: Annotated[Identifier, Field(description="Unique for ever")]
    event_time: Annotated[EventTime, Field(description="When it happened")]
    customer_id: Annotated[Identifier, Field(description="Account holder; also the Kafka key")]
    action: Annotated[AccountAction, Field(description="What was done")]
    channel: Annotated[Channel | None, Field(description="Where the customer stood")] = None
    device_id: Annotated[Identifier | None, Field(description="Device fingerprint")] = None
    ip_address: Annotated[Text | None, Field(description="Client address, IPv4 or IPv6")] = None
    ip_country: Annotated[Country | None, Field(description="Country of the client address")] = None


EDGE_ONLY_FIELDS = frozenset({"card_number"})
"""Accepted by the producer library only, which replaces them before anything is stored (`cards.py`)."""

REFUSED_FIELDS = frozenset({"cvv", "cvc", "cvv2", "pin", "pin_block", "track1", "track2"})
"""Sensitive authentication data: PCI DSS 3.3.1 forbids keeping it, even encrypted."""

LEAKAGE_FIELDS = frozenset({"is_fraud", "fraud", "label", "fraud_label", "fraud_type", "fraud_score"})
"""Ground truth or scores of others: never an input to a rule, refused in a transaction."""

Kind = str
"""One of string, enum, decimal, timestamp, double, integer, boolean."""


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One contract field in neutral terms, from which engines derive their own schema."""

    name: str
    kind: Kind
    required: bool
    description: str
    values: tuple[str, ...] = ()
    pattern: str | None = None
    max_length: int | None = None
    minimum: float | None = None
    maximum: float | None = None


_KINDS: dict[type, Kind] = {
    bool: "boolean",
    int: "integer",
    float: "double",
    str: "string",
    Decimal: "decimal",
    datetime: "timestamp",
}


def _unwrap(annotation: Any) -> tuple[type, list[Any]]:
    """The plain type under Annotated and Optional, with all metadata met on the way."""
    metadata: list[Any] = []
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation, *extra = get_args(annotation)
            metadata.extend(extra)
        elif origin in (Union, types.UnionType):
            annotation = next(arg for arg in get_args(annotation) if arg is not type(None))
        else:
            return annotation, metadata


def _constraints(metadata: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in metadata:
        nested = getattr(item, "metadata", None)
        if nested:
            found |= _constraints(list(nested))
        if isinstance(item, StringConstraints):
            found |= {"pattern": item.pattern, "max_length": item.max_length}
        elif isinstance(item, MaxLen):
            found["max_length"] = item.max_length
        elif isinstance(item, Ge):
            found["minimum"] = item.ge
        elif isinstance(item, Le):
            found["maximum"] = item.le
    return {key: value for key, value in found.items() if value is not None}


def field_specs(model: type[Event]) -> tuple[FieldSpec, ...]:
    """Neutral description of every field of a contract model, in declaration order."""
    specs = []
    for name, info in model.model_fields.items():
        plain, metadata = _unwrap(info.annotation)
        constraints = _constraints(metadata + list(info.metadata))
        if plain is AwareDatetime:
            plain = datetime
        values = tuple(member.value for member in plain) if issubclass(plain, StrEnum) else ()
        specs.append(
            FieldSpec(
                name=name,
                kind="enum" if values else _KINDS[plain],
                required=info.is_required(),
                description=info.description or "",
                values=values,
                **constraints,
            )
        )
    return tuple(specs)


def json_schema(model: type[Event]) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a contract model, for producers in any language.

    What a transaction must never carry is refused by name; other unknown fields are allowed.
    """
    schema: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema |= model.model_json_schema(mode="validation")
    if model is Transaction:
        refused = sorted(EDGE_ONLY_FIELDS | REFUSED_FIELDS | LEAKAGE_FIELDS)
        schema["propertyNames"] = {"not": {"enum": refused}}
    return schema

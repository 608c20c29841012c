"""Transactions as most producers send them, read without asking the contract field by field.

Canonical is a message whose values have the JSON types that the contract names, without fields that it does not know
and without texts that could be taken for something else. Reading one takes half the time that the contract's
model takes; every other message, good or bad, is left to the model. Tests hold the two to the same values.
"""

import re
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import Annotated, Any, Literal

import msgspec

from fraud_domain.contract import AMOUNT, FieldSpec, Transaction, field_specs
from fraud_domain.moments import epoch_micros

_TYPES: dict[str, Any] = {
    "string": str,
    "double": float,
    "integer": int,
    "boolean": bool,
    # These two are read from their text, by patterns.
    "decimal": str | int | float,
    "timestamp": str,
}
_MONEY = re.compile(AMOUNT, re.ASCII)
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(Z|[+-]\d\d:[0-5]\d)", re.ASCII)
_EXPONENT = b"0E"
_KNOWN_TEXTS = 20_000
"""Of a field with a pattern: more than there are currencies, countries, categories or last four digits."""


def read_canonical(value: bytes, zeroes: bytes) -> dict[str, Any] | None:
    """The fields of `Transaction`; None when the contract has to be asked.

    `event_time` is in epoch microseconds, enums are text. Limits of time, of the schema's version, of size and on card
    numbers are for the caller.

    Args:
        zeroes: the message with 0 for each digit (`digits_as_zeroes`).
    """
    if _doubtful(value, zeroes):
        return None
    try:
        event = msgspec.structs.asdict(_decoder().decode(value))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    amount, moment = str(event["amount"]), _MOMENT.fullmatch(event["event_time"])
    if _MONEY.fullmatch(amount) is None or moment is None:
        return None
    second, fraction, zone = moment.groups()
    whole = _whole_second(second, zone)
    if whole is None:
        return None
    for name, pattern, known in _patterns():
        text = event[name]
        if text is not None and text not in known and not _learned(text, pattern, known):
            return None
    event["event_time"] = whole + (int(fraction.ljust(6, "0")) if fraction else 0)
    event["amount"] = Decimal(amount)
    return event


@lru_cache(maxsize=4_096)
def _whole_second(second: str, zone: str) -> int | None:
    """Its epoch microseconds, None when there is no such moment; most of what comes together is of few seconds."""
    try:
        return epoch_micros(datetime.fromisoformat(second + zone))
    except ValueError:
        return None


def _learned(text: str, pattern: re.Pattern[str], known: set[str]) -> bool:
    """Whether a field's text is as its pattern says; then it is known from now on, which is found sooner."""
    if pattern.fullmatch(text) is None:
        return False
    if len(known) < _KNOWN_TEXTS:
        known.add(text)
    return True


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str], set[str]], ...]:
    return tuple((spec.name, re.compile(spec.pattern), set()) for spec in field_specs(Transaction) if spec.pattern)


def _doubtful(value: bytes, zeroes: bytes) -> bool:
    """Whether a text may be an object, an array or a number in scientific notation; an escape could hide one.

    Single bytes are found ten times as quickly as longer runs, so this refuses more than it has to.
    """
    return b"\\" in value or b"[" in value or value.count(b"{") != 1 or _EXPONENT in zeroes


@cache
def _decoder() -> msgspec.json.Decoder[msgspec.Struct]:
    fields = [_field(spec) for spec in field_specs(Transaction)]
    model = msgspec.defstruct("CanonicalTransaction", fields, kw_only=True, forbid_unknown_fields=True)
    return msgspec.json.Decoder(model)


def _field(spec: FieldSpec) -> tuple[str, Any] | tuple[str, Any, None]:
    kind: Any
    if spec.values:
        kind = Literal.__getitem__(spec.values)
    else:
        limits: dict[str, Any] = {"ge": spec.minimum, "le": spec.maximum}
        if spec.kind == "string":
            limits |= {"min_length": 1, "max_length": spec.max_length}
        kind = Annotated[_TYPES[spec.kind], msgspec.Meta(**limits)]
    return (spec.name, kind) if spec.required else (spec.name, kind | None, None)

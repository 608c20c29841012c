"""Whether one message meets the contract, in plain Python: what the alert lane asks, row by row.

The lake's lane asks the same of whole batches in Spark (`spark_jobs/contract.py`) and gives the reasons; a
test holds the two to the same answer. Here a refused message is just None, since the lake keeps and explains it.
"""

from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from fraud_domain.canonical import read_canonical
from fraud_domain.cards import digits_as_zeroes, holds_card_number, may_hold_card_number
from fraud_domain.contract import (
    EDGE_ONLY_FIELDS,
    LEAKAGE_FIELDS,
    MAX_MESSAGE_BYTES,
    OLDEST_EVENT,
    REFUSED_FIELDS,
    SCHEMA_VERSION,
    AccountEvent,
    Event,
    FraudLabel,
    Transaction,
)
from fraud_domain.moments import epoch_micros
from fraud_domain.rules.vocabulary import ORIGIN_FIELDS, Origin
from fraud_domain.topics import ACCOUNT_EVENTS, FRAUD_LABELS

_OLDEST = epoch_micros(OLDEST_EVENT)
_NEVER_SENT = EDGE_ONLY_FIELDS | REFUSED_FIELDS | LEAKAGE_FIELDS
_NOTES: dict[str, tuple[Origin, type[Event], str]] = {
    FRAUD_LABELS: (Origin.LABELS, FraudLabel, "label_time"),
    ACCOUNT_EVENTS: (Origin.ACCOUNT_EVENTS, AccountEvent, "event_time"),
}
"""By topic: what the rules call its messages, their contract, and when they become known."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The contract with its limit on clocks that run ahead, in microseconds."""

    future_tolerance_us: int

    def accept(self, value: bytes, kafka_timestamp_us: int) -> dict[str, Any] | None:
        """The fields of `Transaction`, `event_time` as epoch microseconds and enums as text; None when refused."""
        if not 0 < len(value) <= MAX_MESSAGE_BYTES:
            return None
        zeroes = digits_as_zeroes(value)
        event = read_canonical(value, zeroes) or _read_by_contract(value)
        if event is None:
            return None
        too_new = event["event_time"] > kafka_timestamp_us + self.future_tolerance_us
        if too_new or event["event_time"] < _OLDEST or (event["schema_version"] or 1) > SCHEMA_VERSION:
            return None
        if may_hold_card_number(zeroes) and holds_card_number(value):
            return None
        return event

    def accept_note(self, topic: str, value: bytes, kafka_timestamp_us: int) -> tuple[Origin, dict[str, Any]] | None:
        """A label or account event as `Engine.note` takes it; None when refused."""
        origin, model, known_at = _NOTES[topic]
        if not 0 < len(value) <= MAX_MESSAGE_BYTES:
            return None
        try:
            note = model.model_validate_json(value)
        except ValidationError:
            return None
        event_time = epoch_micros(getattr(note, known_at))
        if not _OLDEST <= event_time <= kafka_timestamp_us + self.future_tolerance_us:
            return None
        if holds_card_number(value):
            return None
        names = ORIGIN_FIELDS[origin]
        return origin, {name: getattr(note, name, None) for name in names} | {"event_time": event_time}


def _read_by_contract(value: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(value)
        transaction = Transaction.model_validate_json(value)
    except (orjson.JSONDecodeError, ValidationError):
        return None
    if any(document[name] is not None for name in document.keys() & _NEVER_SENT):
        return None
    return transaction.__dict__ | {"event_time": epoch_micros(transaction.event_time)}

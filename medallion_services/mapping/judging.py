"""From mapped texts to messages that meet the contract, or to the reason why a row does not."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import ValidationError

from fraud_domain.acceptance import Acceptance
from fraud_domain.cards import TokenKey, find_card_numbers, holds_card_number, tokenise
from fraud_domain.contract import (
    MAX_MESSAGE_BYTES,
    OLDEST_EVENT,
    LabelSource,
    Transaction,
    field_specs,
)
from fraud_domain.rules.durations import parse_duration
from medallion_services.mapping.macros import MARK
from medallion_services.mapping.model import LabelsPart
from medallion_services.mapping.reading import LINE
from medallion_services.mapping.refusal import Refusal

_CODES = {
    "enum": "UNKNOWN_VALUE",
    "decimal": "BAD_AMOUNT",
    "timestamp": "BAD_TIME",
    "boolean": "BAD_BOOLEAN",
    "double": "BAD_NUMBER",
    "integer": "BAD_NUMBER",
    "string": "BAD_TEXT",
}
_SPECS = {spec.name: spec for spec in field_specs(Transaction)}
_TRUE, _FALSE = {"true", "1", "yes", "y", "t", "fraud", "1.0"}, {"false", "0", "no", "n", "f", "legit", "0.0"}
DERIVED_BY_CARD = {"card_token", "card_last4"}
"""What becomes of a `card_number`."""
_AHEAD_OF_ANY_CLOCK = 2**62


@dataclass(frozen=True, slots=True)
class Label:
    """What the file knows about a row."""

    fraud: bool
    fraud_type: str | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A row that meets the contract. `event` as `Acceptance.accept` gives it, `value` what goes to Kafka."""

    line: int
    event: dict[str, Any]
    value: bytes
    label: Label | None


class Judge:
    """Judges the rows of one file."""

    def __init__(self, file_id: str, labels: LabelsPart | None, token_key: Callable[[], TokenKey]) -> None:
        """`file_id` makes ids of rows that have none; `token_key` is asked for when a card number comes."""
        self._file_id = file_id
        self._labels = labels
        self._token_key = token_key
        self._acceptance = Acceptance(future_tolerance_us=0)

    def rows(self, batches: Iterable[Any], refuse: Callable[[Refusal], None]) -> Iterator[Accepted]:
        """Accepted rows of mapped batches, in order; the others go to `refuse`."""
        for batch in batches:
            names = batch.schema.names
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                outcome = self.row(dict(zip(names, values, strict=True)))
                if isinstance(outcome, Refusal):
                    refuse(outcome)
                else:
                    yield outcome

    def row(self, texts: dict[str, Any]) -> Accepted | Refusal:
        """Judge one row of contract field -> text, with its line."""
        line: int = texts.pop(LINE)
        for name, text in texts.items():
            if text is not None and text[0] == MARK:
                _, code, value = text.split(MARK, 2)
                return Refusal(line, code, name.lstrip("_"), value)
        label: Label | None = None
        if "_fraud" in texts:
            flag, fraud_type = texts.pop("_fraud"), texts.pop("_fraud_type", None)
            if flag is not None:
                truth = truth_of(flag)
                if truth is None:
                    return Refusal(line, "BAD_LABEL", "labels.fraud", flag)
                label = Label(truth, fraud_type if truth else None)
        message = {name: text for name, text in texts.items() if text is not None}
        if "card_number" in message:
            try:
                message["card_token"], message["card_last4"] = tokenise(message.pop("card_number"), self._token_key())
            except ValueError:
                return Refusal(line, "BAD_CARD_NUMBER", "card_number", "(withheld)")
        if "transaction_id" not in message:
            message["transaction_id"] = hashlib.sha256(f"{self._file_id}:{line}".encode()).hexdigest()[:32]
        value = orjson.dumps(message)
        event = self._acceptance.accept(value, _AHEAD_OF_ANY_CLOCK)
        return explain(line, message, value) if event is None else Accepted(line, event, value, label)


def truth_of(flag: str) -> bool | None:
    """What a fraud flag says; None when it is not one."""
    word = flag.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def explain(line: int, message: dict[str, str], value: bytes) -> Refusal:
    """The first reason why a message breaks the contract, in the codes of `silver.quarantine`."""
    if len(value) > MAX_MESSAGE_BYTES:
        return Refusal(line, "TOO_LARGE", "", f"{len(value)} bytes, limit {MAX_MESSAGE_BYTES}")
    try:
        transaction = Transaction.model_validate_json(value)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)[0]
        name = str(details["loc"][0])
        code = "MISSING_FIELD" if details["type"] == "missing" else _CODES[_SPECS[name].kind]
        return Refusal(line, code, name, message.get(name, ""))
    if transaction.event_time < OLDEST_EVENT:
        return Refusal(line, "TIME_TOO_OLD", "event_time", message["event_time"])
    for name, text in message.items():
        if any(find_card_numbers(text)):
            return Refusal(line, "CARD_NUMBER", name, "(withheld)")
    if holds_card_number(value):
        return Refusal(line, "CARD_NUMBER", "", "(withheld)")
    return Refusal(line, "UNSUPPORTED_VERSION", "schema_version", message.get("schema_version", ""))


def label_message(event: dict[str, Any], label: Label, source: LabelSource | str, known_at: int) -> bytes:
    """A message for `fraud_labels` about an event; `known_at` in epoch microseconds."""
    return orjson.dumps(
        {
            "transaction_id": event["transaction_id"],
            "label": "fraud" if label.fraud else "legit",
            "fraud_type": label.fraud_type,
            "source": str(source),
            "label_time": iso(known_at),
            **{name: event[name] for name in ("terminal_id", "merchant_id", "device_id") if event.get(name)},
        }
    )


def iso(micros: int) -> str:
    """Epoch microseconds as ISO-8601 in UTC, to the microsecond."""
    seconds, rest = divmod(micros, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest).isoformat(timespec="microseconds")


def delay_us(labels: LabelsPart | None) -> int:
    """How long after a transaction its label becomes known, in microseconds."""
    return parse_duration(labels.delay) if labels else 0

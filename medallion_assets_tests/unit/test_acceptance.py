"""What the alert lane accepts of a topic, limit by limit, and what it hands on."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from fraud_domain.acceptance import Acceptance
from fraud_domain.contract import (
    EDGE_ONLY_FIELDS,
    LEAKAGE_FIELDS,
    MAX_MESSAGE_BYTES,
    OLDEST_EVENT,
    REFUSED_FIELDS,
    SCHEMA_VERSION,
    Transaction,
)
from fraud_domain.moments import epoch_micros
from fraud_domain.rules.vocabulary import ORIGIN_FIELDS, Origin
from fraud_domain.topics import ACCOUNT_EVENTS, FRAUD_LABELS

TOLERANCE_US = 300_000_000
ACCEPTANCE = Acceptance(TOLERANCE_US)
EVENT_TIME = "2026-03-04T12:00:00.000001Z"
EVENT_US = 1_772_625_600_000_001
GOOD: dict[str, Any] = {
    "transaction_id": "t1",
    "event_time": EVENT_TIME,
    "customer_id": "c1",
    "amount": "812.40",
    "currency": "BRL",
    "type": "CREDIT_CARD",
    "channel": "POS",
    "status": "APPROVED",
}
LABEL = {"transaction_id": "t1", "label": "fraud", "source": "chargeback", "label_time": EVENT_TIME}
LOGIN = {"event_id": "e1", "event_time": EVENT_TIME, "customer_id": "c1", "action": "LOGIN"}
CARD = "4111111111111111"


def accepts(document: object, now_us: int = EVENT_US) -> bool:
    """Whether a transaction is accepted."""
    return ACCEPTANCE.accept(json.dumps(document).encode(), now_us) is not None


def test_an_accepted_transaction_has_every_field_of_the_contract_and_no_other() -> None:
    event = ACCEPTANCE.accept(json.dumps(GOOD | {"auth_3ds": True, "something": 1}).encode(), EVENT_US)
    assert event is not None
    assert set(event) == set(Transaction.model_fields)
    assert event["event_time"] == EVENT_US
    assert event["amount"] == Decimal("812.40")
    assert event["type"] == "CREDIT_CARD"
    assert event["auth_3ds"] is True
    assert event["merchant_id"] is None


@pytest.mark.parametrize("value", [b"", b"{", b"{}", b"[]", b"null", b"\xff", json.dumps(GOOD).encode() + b"x"])
def test_what_is_no_transaction_is_refused(value: bytes) -> None:
    assert ACCEPTANCE.accept(value, EVENT_US) is None


def test_a_message_may_have_so_many_bytes_and_not_one_more() -> None:
    good = json.dumps(GOOD).encode()
    assert ACCEPTANCE.accept(good.ljust(MAX_MESSAGE_BYTES), EVENT_US) is not None
    assert ACCEPTANCE.accept(good.ljust(MAX_MESSAGE_BYTES + 1), EVENT_US) is None


@pytest.mark.parametrize("name", sorted(EDGE_ONLY_FIELDS | REFUSED_FIELDS | LEAKAGE_FIELDS))
def test_secrets_and_truth_are_refused_and_their_empty_fields_are_not(name: str) -> None:
    assert not accepts(GOOD | {name: "x"})
    assert not accepts(GOOD | {name: False})
    assert accepts(GOOD | {name: None})


def test_an_event_may_be_so_far_ahead_and_not_a_microsecond_more() -> None:
    assert accepts(GOOD, EVENT_US - TOLERANCE_US)
    assert not accepts(GOOD, EVENT_US - TOLERANCE_US - 1)


def test_an_event_may_be_so_old_and_not_a_microsecond_more() -> None:
    assert accepts(GOOD | {"event_time": OLDEST_EVENT.isoformat()})
    assert not accepts(GOOD | {"event_time": (OLDEST_EVENT - timedelta(microseconds=1)).isoformat()})


@pytest.mark.parametrize(("version", "good"), [(None, True), (SCHEMA_VERSION, True), (SCHEMA_VERSION + 1, False)])
def test_a_later_version_of_the_contract_is_refused(version: int | None, good: bool) -> None:
    assert accepts(GOOD | {"schema_version": version}) is good


def test_a_card_number_is_refused_wherever_it_stands() -> None:
    assert not accepts(GOOD | {"merchant_name": f"shop {CARD}"})
    assert not accepts(GOOD | {"something_new": CARD})
    assert accepts(GOOD | {"merchant_name": f"shop {CARD[:-1]}2"})


def accepts_note(topic: str, document: dict[str, Any], now_us: int = EVENT_US) -> bool:
    """Whether a label or an account event is accepted."""
    return ACCEPTANCE.accept_note(topic, json.dumps(document).encode(), now_us) is not None


NOTES = pytest.mark.parametrize(
    ("topic", "document", "time"), [(FRAUD_LABELS, LABEL, "label_time"), (ACCOUNT_EVENTS, LOGIN, "event_time")]
)


@pytest.mark.parametrize(
    ("topic", "document", "origin", "key"),
    [
        (FRAUD_LABELS, LABEL, Origin.LABELS, "transaction_id"),
        (ACCOUNT_EVENTS, LOGIN, Origin.ACCOUNT_EVENTS, "event_id"),
    ],
)
def test_a_note_has_the_fields_that_the_engine_wants(
    topic: str, document: dict[str, Any], origin: Origin, key: str
) -> None:
    found = ACCEPTANCE.accept_note(topic, json.dumps(document).encode(), EVENT_US)
    assert found is not None
    assert found[0] is origin
    assert set(found[1]) == set(ORIGIN_FIELDS[origin])
    assert found[1][key] == document[key]
    assert found[1]["event_time"] == EVENT_US


@NOTES
def test_a_note_has_the_limits_of_a_transaction(topic: str, document: dict[str, Any], time: str) -> None:
    assert accepts_note(topic, document, EVENT_US - TOLERANCE_US)
    assert not accepts_note(topic, document, EVENT_US - TOLERANCE_US - 1)
    assert accepts_note(topic, document | {time: OLDEST_EVENT.isoformat()})
    assert not accepts_note(topic, document | {time: (OLDEST_EVENT - timedelta(microseconds=1)).isoformat()})
    assert not accepts_note(topic, document | {"device_id": CARD})
    assert not accepts_note(topic, {name: value for name, value in document.items() if name != time})
    good = json.dumps(document).encode()
    assert ACCEPTANCE.accept_note(topic, good.ljust(MAX_MESSAGE_BYTES), EVENT_US) is not None
    assert ACCEPTANCE.accept_note(topic, good.ljust(MAX_MESSAGE_BYTES + 1), EVENT_US) is None
    assert ACCEPTANCE.accept_note(topic, b"", EVENT_US) is None


def test_microseconds_are_exact_far_from_the_epoch() -> None:
    moment = OLDEST_EVENT + timedelta(days=36_500, microseconds=1)
    assert epoch_micros(moment) == 946_684_800_000_000 + 36_500 * 86_400_000_000 + 1
    assert epoch_micros(OLDEST_EVENT - timedelta(microseconds=1)) == 946_684_799_999_999


@pytest.mark.parametrize(
    ("written", "good"), [(True, True), ("true", True), ("false", True), ("TRUE", False), ("yes", False), (1, False)]
)
def test_a_flag_is_true_or_false_and_nothing_like_it(written: object, good: bool) -> None:
    assert accepts(GOOD | {"auth_3ds": written}) is good

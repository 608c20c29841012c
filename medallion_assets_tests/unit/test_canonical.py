"""Canonical transactions: what is read without the contract has the values that the contract gives it."""

import json
import random
from typing import Any

import pytest

from fraud_domain.acceptance import Acceptance
from fraud_domain.canonical import read_canonical
from fraud_domain.cards import TokenKey, digits_as_zeroes
from fraud_domain.contract import Transaction
from fraud_domain.moments import epoch_micros
from fraud_domain.topics import TRANSACTIONS
from medallion_assets_tests.poison import ARRIVED, GOOD, POISON, message, odd_messages
from medallion_services.generator.timeline import Plan, Timeline
from medallion_services.generator.world import World

ALL: dict[str, Any] = GOOD | {
    "decline_reason": "no funds", "card_token": "tok_k1_0b56", "card_last4": "0123", "card_brand": "VISA",
    "entry_mode": "CHIP", "merchant_id": "m1", "merchant_name": "Café 9", "mcc": "5411", "merchant_country": "BR",
    "terminal_id": "t-1", "latitude": -90, "longitude": 180.0, "billing_country": "BR", "ip_address": "::1",
    "cvv_result": "MATCH", "auth_3ds": False, "installments": 120, "customer_timezone": "America/Sao_Paulo",
    "device_id": None, "schema_version": 1,
}  # fmt: skip


PIECES = (b'"', b"{", b"}", b"\\u0041", b"\\ud800", b"\xed\xa0\x80", b"E", b".", b"-", b"null", b" ", b"")
DIGITS = tuple(str(digit).encode() for digit in range(10)) * 40


def by_contract(value: bytes) -> dict[str, Any]:
    """Its fields as the contract's model reads them."""
    return dict(Transaction.model_validate_json(value).__dict__)


def canonical(value: bytes) -> dict[str, Any] | None:
    """Its fields without the contract's model, if it is canonical."""
    return read_canonical(value, digits_as_zeroes(value))


def same(value: bytes) -> bool:
    """Whether a message is canonical; then it must have the contract's values, to the last digit and type."""
    found = canonical(value)
    if found is None:
        return False
    expected = by_contract(value)
    expected["event_time"] = epoch_micros(expected["event_time"])
    assert list(found) == list(expected)
    for name, mine in found.items():
        theirs = expected[name]
        assert (mine, str(mine), type(mine)) == (theirs, str(theirs), type(theirs)), name
    return True


def test_what_producers_send_is_canonical() -> None:
    world = World(7, 50, 50, TokenKey("k1", b"x" * 32))
    timeline = Timeline(world, Plan(20, 7, fraud_share=0.2, run_id="r"))
    sent = [each for each in timeline.emissions(0, 60) if each.topic == TRANSACTIONS and each.truth.kind == "event"]
    assert len(sent) > 500
    assert all(same(each.value) for each in sent)
    assert same(json.dumps(ALL, ensure_ascii=False).encode())
    assert same(message())


@pytest.mark.parametrize(
    "change",
    [
        {"unknown": 1},
        {"cvv": None},
        {"latitude": "12.5"},
        {"installments": "3"},
        {"auth_3ds": "true"},
        {"customer_id": 7},
        {"merchant_name": "{x"},
        {"merchant_name": "[x"},
        {"merchant_name": "1.5E3"},
        {"merchant_name": 'say "x"'},
        {"event_time": 1795518000000},
        {"event_time": "2026-11-24 11:59:59Z"},
        {"amount": "1e3"},
        {"amount": True},
    ],
    ids=str,
)
def test_the_contract_is_asked_about_anything_else(change: dict[str, Any]) -> None:
    assert canonical(json.dumps(ALL | change).encode()) is None


@pytest.mark.parametrize("amount", [b"-12.5", b"0", b"-0", b"150", b'"9.90"', b"0.1", b'"-7"'])
def test_money_is_what_the_contract_makes_of_it(amount: bytes) -> None:
    assert same(message().replace(b"812.4", amount))


def test_odd_messages_have_the_values_of_the_contract() -> None:
    values = [*(value for value, _, _ in POISON.values() if value), *odd_messages(3_000)]
    assert 100 < sum(same(value) for value in values) < 2_500


def test_damaged_messages_have_the_values_of_the_contract() -> None:
    """A few bytes of a good message replaced by others that mean something in JSON, or nothing at all."""
    rng = random.Random(7)
    pieces = [*PIECES, *(bytes([code]) for code in range(256)), *(bytes([code]) for code in range(32, 127)), *DIGITS]
    good = json.dumps(ALL, ensure_ascii=False).encode()
    good_ones = 0
    for _ in range(20_000):
        damaged = bytearray(good)
        for _ in range(rng.randrange(1, 3)):
            at = rng.randrange(len(damaged))
            damaged[at : at + 1] = rng.choice(pieces)
        good_ones += same(bytes(damaged))
    assert good_ones > 500


def test_limits_hold_for_canonical_messages_too() -> None:
    arrived = epoch_micros(ARRIVED)
    acceptance = Acceptance(future_tolerance_us=300_000_000)
    for name, (value, _, _) in POISON.items():
        assert acceptance.accept(value or b"", arrived) is None, name
    assert acceptance.accept(message(), arrived) is not None

"""Messages that break the contract, the reason that each must be given, and odd ones that may do either."""

import json
import random
from datetime import UTC, datetime
from typing import Any

from fraud_domain.contract import Transaction

ARRIVED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
GOOD: dict[str, Any] = {
    "transaction_id": "t1",
    "event_time": "2026-11-24T11:59:59.123456+00:00",
    "customer_id": "c1",
    "amount": 812.40,
    "currency": "BRL",
    "type": "CREDIT_CARD",
    "channel": "POS",
    "status": "APPROVED",
}
SOME_CARD = "4111111111111111"


def message(**changes: Any) -> bytes:
    document = {key: value for key, value in (GOOD | changes).items() if value is not None}
    return json.dumps(document).encode()


POISON: dict[str, tuple[bytes | None, str, str]] = {
    "tombstone": (None, "EMPTY_MESSAGE", ""),
    "zero bytes": (b"", "EMPTY_MESSAGE", ""),
    "text": (b"hello", "NOT_JSON", ""),
    "truncated": (message()[:-10], "NOT_JSON", ""),
    "null literal": (b"null", "NOT_JSON", ""),
    "array": (b"[" + message() + b"]", "NOT_JSON", ""),
    "trailing garbage": (message() + b" garbage", "NOT_JSON", ""),
    "bad utf-8": (message().replace(b"t1", b"\xff\xfe"), "NOT_UTF8", ""),
    "empty object": (b"{}", "MISSING_FIELD", "transaction_id"),
    "wrong case": (message().replace(b'"customer_id"', b'"Customer_Id"'), "MISSING_FIELD", "customer_id"),
    "null required": (message(amount=None), "MISSING_FIELD", "amount"),
    "empty id": (message(transaction_id=""), "MISSING_FIELD", "transaction_id"),
    "amount of five decimals": (message(amount="1.23456"), "BAD_AMOUNT", "amount"),
    "amount as words": (message(amount="twelve"), "BAD_AMOUNT", "amount"),
    "not a number, which JSON does not know": (message().replace(b"812.4", b"NaN"), "NOT_JSON", ""),
    "single quotes": (message().replace(b'"', b"'"), "NOT_JSON", ""),
    "amount overflow": (message(amount="123456789012345.00"), "BAD_AMOUNT", "amount"),
    "local time": (message(event_time="2026-11-24T11:59:59"), "BAD_TIME", "event_time"),
    "no such day": (message(event_time="2026-02-31T11:59:59Z"), "BAD_TIME", "event_time"),
    "future": (message(event_time="2026-11-24T12:05:01Z"), "TIME_IN_FUTURE", "event_time"),
    "year 2099": (message(event_time="2099-01-01T00:00:00Z"), "TIME_IN_FUTURE", "event_time"),
    "year 1970": (message(event_time=0), "TIME_TOO_OLD", "event_time"),
    "unknown type": (message(type="CHEQUE"), "UNKNOWN_VALUE", "type"),
    "lower-case currency": (message(currency="brl"), "BAD_TEXT", "currency"),
    "latitude": (message(latitude=91), "BAD_NUMBER", "latitude"),
    "boolean": (message(auth_3ds="yes"), "BAD_BOOLEAN", "auth_3ds"),
    "instalments": (message(installments=0), "BAD_NUMBER", "installments"),
    "schema v2": (message(schema_version=2), "UNSUPPORTED_VERSION", "schema_version"),
    "card number": (message(card_number=SOME_CARD), "CARD_NUMBER", ""),
    "card number in a name": (message(merchant_name=f"x {SOME_CARD}"), "CARD_NUMBER", ""),
    "cvv": (message(cvv="123"), "FORBIDDEN_FIELD", "cvv"),
    "label": (message(is_fraud=True), "LABEL_IN_TRANSACTION", "is_fraud"),
    "long text": (message(merchant_name="x" * 300), "BAD_TEXT", "merchant_name"),
    "too large": (message(merchant_name="x" * 70_000), "TOO_LARGE", ""),
}
"""By name: the message, the code and the field of its first error."""

ODD_VALUES: tuple[Any, ...] = (
    None, "", " ", "x", "0", "-1", "1.5", "1e3", "12.34567", " 7", "true", "TRUE", "yes", "NaN", "null", "{}", "[1]",
    "2026-11-24T11:00:00Z", "2026-11-24 11:00:00+0300", "2026-11-24T11:00-03:00", "2026-11-24T11:00:00",
    "2026-13-01T00:00:00Z",
    "2026-11-24T11:00:00.1234567Z", "2026-11-24T11:00:00+03", "1795518000000", "BRL", "BR", "BR\n", "1234", "12345",
    "x" * 129, "x" * 257, "é", "\u0000", 0, 1, -1, 7, 1795518000000, 12345678901234567890, 0.1, -0.0,
    1.5, 1e-5, 1e300, 91.0, 180.0, 99999999999999.9999, 123456789012345.0, 3.0, True, False, [], {}, [1], {"a": 1},
    "APPROVED", "PIX", "POS", "MATCH", "4111111111111111", "CHIP",
)  # fmt: skip


def odd_messages(count: int) -> list[bytes]:
    """Good messages with one to three fields replaced by something odd; the same ones every time."""
    rng = random.Random(20261124)
    names = [*Transaction.model_fields, "card_number", "cvv", "is_fraud", "unknown_field"]
    made = []
    for _ in range(count):
        changes = {rng.choice(names): rng.choice(ODD_VALUES) for _ in range(rng.randrange(1, 4))}
        made.append(json.dumps(GOOD | changes).encode())
    return made

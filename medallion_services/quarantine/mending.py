"""A quarantined message with the changes that mend it, judged by today's contract. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from pydantic import ValidationError

from fraud_domain.acceptance import Acceptance
from fraud_domain.contract import Transaction
from fraud_domain.moments import epoch_micros
from fraud_domain.topics import TRANSACTIONS
from medallion_services.quarantine.reading import Quarantined


@dataclass(frozen=True, slots=True)
class Mended:
    """What can be sent, or why not. `key` is the Kafka key."""

    key: str
    value: bytes
    refused: str = ""


def mend(message: Quarantined, changes: dict[str, str], future_tolerance_us: int) -> Mended:
    """The message with fields set (an empty text removes one), if it meets the contract now."""
    if message.position.topic != TRANSACTIONS:
        return Mended("", b"", f"only messages of '{TRANSACTIONS}' can be sent again")
    if any(code == "CARD_NUMBER" for code, _, _ in message.errors):
        return Mended("", b"", "it held a card number, which was masked: the producer must send it again, tokenised")
    try:
        document: Any = orjson.loads(message.value or b"")
    except orjson.JSONDecodeError:
        return Mended("", b"", "it is not JSON: the producer must send it again")
    if not isinstance(document, dict):
        return Mended("", b"", "it is not a JSON object: the producer must send it again")
    for name, text in changes.items():
        if text:
            document[name] = text
        else:
            document.pop(name, None)
    value = orjson.dumps(document)
    if Acceptance(future_tolerance_us).accept(value, epoch_micros(message.kafka_timestamp)) is None:
        return Mended("", value, f"it still breaks the contract: {_first_problem(value, message.kafka_timestamp)}")
    return Mended(str(document["customer_id"]), value)


def _first_problem(value: bytes, kafka_timestamp: datetime) -> str:
    try:
        transaction = Transaction.model_validate_json(value)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if transaction.event_time > kafka_timestamp:
        return f"event_time {transaction.event_time} is ahead of its Kafka timestamp {kafka_timestamp}"
    return "a field that must never be sent, a version that is not known, or a time too old"

"""The two rules in plain Python: what every engine is asked, and what it should have found.

A rule about the hour of the day would hit all or nothing in a run of some minutes, so the stateless one is about
amount and channel. Each hits one or two in a hundred transactions.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import orjson

from fraud_domain.topics import TRANSACTIONS
from medallion_services.generator.timeline import Emission

CHANNEL, AMOUNT = "MOBILE_APP", 200
"""A payment of more than this amount on this channel."""
MANY, MINUTES = 5, 10
"""The fifth payment of a customer, or a later one, within ten minutes of event time."""


def limits() -> dict[str, str | int]:
    """The rules' constants, for an engine that cannot import this module."""
    return {"channel": CHANNEL, "amount": AMOUNT, "many": MANY, "minutes": MINUTES}


def is_large(event: dict[str, Any]) -> bool:
    """What the first rule asks of a payment."""
    return bool(event["channel"] == CHANNEL and event["amount"] > AMOUNT)


def alerted(sent: Iterable[Emission]) -> set[str]:
    """Transactions that must be alerted, of messages in the order of their event times."""
    window = timedelta(minutes=MINUTES)
    recent: defaultdict[str, deque[datetime]] = defaultdict(deque)
    found = set()
    for emission in sent:
        if emission.topic != TRANSACTIONS:
            continue
        event = orjson.loads(emission.value)
        at, times = datetime.fromisoformat(event["event_time"]), recent[event["customer_id"]]
        times.append(at)
        while times[0] <= at - window:
            times.popleft()
        if len(times) >= MANY or is_large(event):
            found.add(event["transaction_id"])
    return found

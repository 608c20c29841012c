"""What goes wrong between a till and Kafka: delays, repeats, damaged messages."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import orjson


@dataclass(frozen=True, slots=True)
class Noise:
    """Shares of transactions (0 to 1). `out_of_order` come seconds late, `late` come 15 to 60 minutes late."""

    duplicates: float = 0.0
    out_of_order: float = 0.0
    late: float = 0.0
    malformed: float = 0.0

    def delay(self, rng: Random) -> float:
        """Seconds between the event and its sending."""
        dice = rng.random()
        if dice < self.late:
            return rng.uniform(900, 3600)
        if dice < self.late + self.out_of_order:
            return rng.uniform(0.5, 20)
        return 0.0


def _with(**changes: object) -> Callable[[bytes], bytes]:
    return lambda value: orjson.dumps(orjson.loads(value) | changes)


POISON: tuple[Callable[[bytes], bytes], ...] = (
    lambda value: b"not json at all",
    lambda value: value[: len(value) // 2],
    lambda value: b"{}",
    lambda value: value + b" trailing",
    lambda value: value.replace(b'"customer_id"', b'"Customer_ID"'),
    lambda value: b"\xff\xfe" + value,
    _with(amount="a lot"),
    _with(amount=None),
    _with(event_time="yesterday"),
    _with(event_time="2099-01-01T00:00:00Z"),
    _with(type="CHEQUE"),
    _with(currency="reais"),
    _with(is_fraud=True),
    _with(cvv="123"),
    _with(schema_version=9),
)
"""Ways to break a good message."""

"""Seeded traffic whose acknowledged messages are written down: what the broker took must come out at the end.

Event time moves on by itself, in steps without overlap, and of each step what is known about a subject (account
events, labels) is acknowledged before its transactions are sent. So the reference evaluator, which is told all notes
first, knows exactly what the stream knew.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from confluent_kafka import KafkaError, Message, Producer

from fraud_domain.kafka_client import client_configuration
from fraud_domain.settings import Settings
from fraud_domain.topics import TRANSACTIONS, producer_configuration
from medallion_services.generator.noise import Noise
from medallion_services.generator.timeline import Emission, Plan, Timeline
from medallion_services.generator.world import World as Population

CUSTOMERS = 60
_FLUSH_SECONDS = 180.0
_LISTED_PAYEE = "demo-mule-key"
"""On the block list that the rules ship with: whoever pays it raises an alert, without any history."""
NOISE = Noise(duplicates=0.05, out_of_order=0.05, late=0.02, malformed=0.02)


class NotAcknowledgedError(RuntimeError):
    """The broker did not take a message in three minutes: the trial itself failed."""


@dataclass(slots=True)
class Traffic:
    """Sends, and remembers what was acknowledged."""

    settings: Settings
    seed: int
    clock: datetime
    """Event time reached so far."""
    acked: Counter[str] = field(default_factory=Counter)
    """Messages by topic."""
    transaction_ids: set[str] = field(default_factory=set)
    """Of acknowledged transactions that meet the contract."""
    _timeline: Timeline = field(init=False)
    _producer: Producer = field(init=False)
    _probes: int = 0

    def __post_init__(self) -> None:
        population = Population(self.seed, CUSTOMERS, CUSTOMERS, self.settings.token_key())
        plan = Plan(1, self.seed, fraud_share=0.3, run_id=f"f{self.seed}", noise=NOISE)
        self._timeline = Timeline(population, plan)
        self.reconnect()

    def reconnect(self) -> None:
        """A new producer; one that was promised each message once gives up when its topic is made anew."""
        more: dict[str, str | int] = {"linger.ms": 5, "delivery.timeout.ms": int(_FLUSH_SECONDS * 1000), "log_level": 2}
        more["message.max.bytes"] = 20_000_000
        self._producer = Producer(producer_configuration(client_configuration(self.settings), more))

    def send(self, seconds: float = 300.0, rate: float = 0.1) -> int:
        """The next `seconds` of event time at `rate` transactions per second; returns the messages sent."""
        start = self.clock.timestamp()
        self.clock += timedelta(seconds=seconds)
        emissions = list(self._timeline.emissions(start, self.clock.timestamp(), rate))
        self._send_all(e for e in emissions if e.topic != TRANSACTIONS)
        self._send_all(e for e in emissions if e.topic == TRANSACTIONS)
        return len(emissions)

    def probe(self, count: int = 1) -> list[str]:
        """Payments that each must raise an alert at once; returns their transaction ids."""
        names = []
        for _ in range(count):
            self._probes += 1
            self.clock += timedelta(milliseconds=10)
            name, customer = f"probe-{self.seed}-{self._probes}", f"probe-{self._probes % 50}"
            self.put(payment(name, customer, self.clock, pix_key=_LISTED_PAYEE), name, customer.encode())
            names.append(name)
        self.flush()
        return names

    def put(
        self,
        value: bytes | None,
        transaction_id: str | None = None,
        key: bytes = b"x",
        at: datetime | None = None,
        topic: str = TRANSACTIONS,
    ) -> None:
        """Send one message as it is; `transaction_id` is given when it is good. `at` is Kafka's timestamp."""

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                self.acked[topic] += 1
                if transaction_id is not None:
                    self.transaction_ids.add(transaction_id)

        stamp = int((at or self.clock).timestamp() * 1000)
        self._producer.produce(topic, key=key, value=value, timestamp=stamp, on_delivery=delivered)
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until all is acknowledged.

        Raises:
            NotAcknowledgedError: it is not.
        """
        if self._producer.flush(_FLUSH_SECONDS):
            raise NotAcknowledgedError(f"the broker did not acknowledge within {_FLUSH_SECONDS:.0f} s")

    def _send_all(self, emissions: Iterable[Emission]) -> None:
        for each in emissions:
            good = each.truth.kind in ("event", "duplicate") and each.topic == TRANSACTIONS
            moment = datetime.fromtimestamp(each.send_at, UTC)
            self.put(each.value, each.truth.transaction_id if good else None, each.key, moment, each.topic)
        self.flush()


def payment(transaction_id: str, customer_id: str, at: datetime, **more: Any) -> bytes:
    """An instant transfer of 100 that meets the contract."""
    event = {
        "transaction_id": transaction_id,
        "event_time": at.isoformat(),
        "customer_id": customer_id,
        "amount": "100.00",
        "currency": "BRL",
        "type": "PIX",
        "channel": "MOBILE_APP",
        "status": "APPROVED",
    }
    return orjson.dumps(event | more)

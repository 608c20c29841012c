"""The decision log: every decision of the alert lane, back to Kafka.

Written from the driver, which holds the batch anyway: a second Spark job per batch would cost more than the
rows do. At least once: a replayed batch is published again, and gold keeps one decision per transaction.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, Message, Producer

from fraud_domain.topics import producer_configuration

_FLUSH_SECONDS = 60.0


class LogNotWrittenError(RuntimeError):
    """The broker did not acknowledge decisions; the batch must be tried again."""


@dataclass(slots=True)
class DecisionLog:
    """Publishes decisions, keyed by customer, and waits until all replicas have them."""

    broker: Mapping[str, str | int | bool] = field(repr=False)
    _producer: Producer = field(init=False)
    _failure: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._producer = Producer(
            producer_configuration(
                self.broker,
                {
                    "linger.ms": 1,
                    "compression.type": "lz4",
                    "queue.buffering.max.messages": 1_000_000,
                    "log_level": 2,
                },
            )
        )

    def publish(self, topic: str, decisions: Iterable[tuple[str, str]]) -> None:
        """Send (customer_id, decision as JSON) pairs to a topic.

        Raises:
            LogNotWrittenError: the broker refused one, or did not answer within a minute.
        """
        self._failure = ""
        for customer_id, decision in decisions:
            self._producer.produce(topic, key=customer_id, value=decision, on_delivery=self._delivered)
            self._producer.poll(0)
        left = self._producer.flush(_FLUSH_SECONDS)
        if left or self._failure:
            raise LogNotWrittenError(self._failure or f"{left} decisions unacknowledged after {_FLUSH_SECONDS:.0f} s")

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failure = f"{message.topic()}: {error.str()}"

"""Emissions into Kafka: keyed, acknowledged by all replicas, each once per emission."""

from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, Message, Producer

from fraud_domain.kafka_client import client_configuration
from fraud_domain.settings import Settings
from fraud_domain.topics import producer_configuration
from medallion_services.errors import UserError
from medallion_services.generator.timeline import Emission

_FLUSH_SECONDS = 60.0
_LINGER_MS = 5


class KafkaSink:
    """Sends emissions with their own time as the Kafka timestamp, so that lateness keeps its meaning."""

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer(
            producer_configuration(
                client_configuration(settings),
                {
                    "linger.ms": _LINGER_MS,
                    "compression.type": "lz4",
                    "queue.buffering.max.messages": 500_000,
                    "log_level": 3,
                },
            )
        )
        self._failed: str | None = None
        self.acknowledged = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.flush()
            # It would look for its broker as long as this process lives.
            self._producer.close()

    def send(self, emission: Emission) -> None:
        """Hand an emission to the producer; waits when its queue is full.

        Raises:
            UserError: the broker refused an earlier one.
        """
        while True:
            try:
                self._producer.produce(
                    emission.topic,
                    key=emission.key,
                    value=emission.value,
                    timestamp=int(emission.send_at * 1000),
                    on_delivery=self._delivered,
                )
                break
            except BufferError:
                self._producer.poll(0.1)
        self._producer.poll(0)
        self._raise_failure()

    def flush(self) -> None:
        """Wait until everything sent is acknowledged.

        Raises:
            UserError: something was not.
        """
        left = self._producer.flush(_FLUSH_SECONDS)
        self._raise_failure()
        if left:
            raise UserError(f"{left} messages were not acknowledged within {_FLUSH_SECONDS:.0f} s: is the broker up?")

    def _delivered(self, error: KafkaError | None, message: Message | Any) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self._failed = f"{message.topic()}: {error.str()}"

    def _raise_failure(self) -> None:
        if self._failed:
            raise UserError(f"Kafka refused a message: {self._failed}")

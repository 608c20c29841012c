"""The Kafka message an alert was raised on, read from its position; card numbers that slipped through are masked."""

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition

from fraud_domain.cards import masked
from fraud_domain.kafka_client import client_configuration
from fraud_domain.settings import Settings

_TIMEOUT = 3.0
Position = tuple[str, int, int]


class NoAnswerError(RuntimeError):
    """The broker does not answer; try again later."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its text, and the JSON object in it, empty when it is none."""

    text: str
    document: Mapping[str, Any]


def require_broker(bootstrap: str) -> None:
    """Check that something listens, since Kafka's clients take their whole timeout to find out.

    Raises:
        NoAnswerError: no bootstrap server accepts a connection.
    """
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            with socket.create_connection((host.rpartition("//")[2].strip("[]"), int(port)), timeout=1.0):
                return
        except (OSError, ValueError):
            continue
    raise NoAnswerError(f"nothing listens at {bootstrap}")


def parse(value: bytes | None) -> Message:
    """A message as people may see it."""
    text = masked((value or b"").decode("utf-8", errors="replace"))
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        document = {}
    return Message(text, document if isinstance(document, dict) else {})


def read(settings: Settings, positions: Iterable[Position]) -> dict[Position, Message]:
    """The messages at these positions; those that retention has removed are missing. Blocks; run it in a thread.

    Raises:
        NoAnswerError: the broker does not answer.
    """
    require_broker(settings.kafka_bootstrap)
    consumer = Consumer(
        {
            **client_configuration(settings),
            "group.id": "medallion-desk-reader",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "log_level": 2,
            "socket.timeout.ms": int(_TIMEOUT * 1000),
            "fetch.wait.max.ms": 50,
        }
    )
    found: dict[Position, Message] = {}
    try:
        for topic, partition, offset in positions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT)
            if not low <= offset < high:
                continue
            consumer.assign([TopicPartition(topic, partition, offset)])
            message = consumer.poll(_TIMEOUT)
            if message is None:
                raise NoAnswerError(f"{topic}/{partition} at {offset} was not delivered")
            if message.error() is None and message.offset() == offset:
                found[topic, partition, offset] = parse(message.value())
    except KafkaException as error:
        raise NoAnswerError(str(error)) from error
    finally:
        consumer.close()
    return found

"""A message of a topic, as the direct lane reads, keeps and judges it."""

from typing import NamedTuple


class Message(NamedTuple):
    """Its place, Kafka's time in epoch microseconds, and its content."""

    topic: str
    partition: int
    offset: int
    at: int
    value: bytes

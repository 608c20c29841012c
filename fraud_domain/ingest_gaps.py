"""Offsets that Kafka lost before bronze read them, and somebody accepted; kept in `fraud.ingest_gaps`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages `first` to `last` of a partition are in neither Kafka nor bronze."""

    topic: str
    partition: int
    first: int
    last: int

    @property
    def messages(self) -> int:
        """How many they are."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}: offsets {self.first} to {self.last} ({self.messages} messages)"

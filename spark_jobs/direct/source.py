"""The topics of the alert lane, read from given positions on; data that is lost stops the lane, it is never skipped."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from spark_jobs.direct.message import Message
from spark_jobs.direct.store import Positions
from spark_jobs.plain_error import PlainError

_ANSWER_SECONDS = 30.0
_LOOK_FOR_PARTITIONS_SECONDS = 30.0
_OPTIONS: dict[str, str | int | bool] = {
    # Positions are the store's; the group is only a name.
    "group.id": "medallion-alerts",
    "enable.auto.commit": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_uncommitted",
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 100,
    "queued.max.messages.kbytes": 32_768,
    "log_level": 2,
}
_LOST = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)
_PASSES = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE)


class DataLossError(PlainError):
    """Kafka does not have what comes next any more."""


class TopicMissingError(PlainError):
    """A topic that the lane reads is not there."""


@dataclass(slots=True)
class Source:
    """A consumer of whole topics.

    Args:
        broker: where it is and how to log in, by `client_configuration`.
        first: topics to be read up to their present end before any other: what is known about subjects.
        others: the other topics.
        positions: where to go on; a partition that is not in it is read from its start.
        to_the_end: whether to stop where the topics end now.
    """

    broker: Mapping[str, str | int | bool] = field(repr=False)
    first: Sequence[str]
    others: Sequence[str]
    positions: Positions
    to_the_end: bool = False
    _consumer: Consumer = field(init=False)
    _assigned: set[tuple[str, int]] = field(default_factory=set)
    _until: dict[tuple[str, int], int] = field(default_factory=dict)
    """Ends that are still to be reached."""
    _held_back: bool = False
    _looked: float = 0.0

    def __post_init__(self) -> None:
        self._consumer = Consumer({**self.broker, **_OPTIONS})
        self._assign()
        self._hold_back()

    @property
    def finished(self) -> bool:
        """Whether all is read that was to be read."""
        return self.to_the_end and not self._until

    def read(self, most: int, wait: float) -> list[Message]:
        """The messages that are there, in any order; waits for the first one.

        With `to_the_end` it waits until there are `most`, or no more.

        Raises:
            DataLossError: a position is before or after what Kafka has.
            TopicMissingError: a topic was deleted.
            KafkaException: the broker refuses us.
        """
        self._look_for_partitions()
        found: list[Message] = []
        one = self._consumer.poll(wait)
        if one is not None:
            self._take([one], found)
            self._take(self._consumer.consume(most - 1, 0.0) if most > 1 else [], found)
        if self.to_the_end:
            while self._until and len(found) < most:
                self._take(self._consumer.consume(most - len(found), wait), found)
                self._note_ends()
        self._note_ends()
        return found

    def lag(self) -> int | None:
        """Messages in Kafka that were not read yet, as far as the broker has told; None when it has not."""
        lags = []
        for place in self._consumer.position([TopicPartition(*key) for key in sorted(self._assigned)]):
            known = self._consumer.get_watermark_offsets(place, cached=True)
            if known is None or known[1] < 0:
                return None
            at = place.offset if place.offset >= 0 else self.positions.get((place.topic, place.partition), known[0])
            lags.append(max(0, known[1] - at))
        return sum(lags)

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def _take(self, messages: Sequence[KafkaMessage], found: list[Message]) -> None:
        for message in messages:
            topic, partition, offset = str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
            if (error := message.error()) is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    self._reached(topic, partition, offset)
                    continue
                self._judge_error(error, f"{topic}/{partition}")
                continue
            self._reached(topic, partition, offset + 1)
            value = message.value()
            if value is not None:
                found.append(Message(topic, partition, offset, message.timestamp()[1] * 1000, value))

    def _judge_error(self, error: KafkaError, where: str) -> None:
        if error.code() in _LOST:
            raise DataLossError(
                f"some data may have been lost: {where} has not got offset {self._asked(where)} ({error.str()});"
                " nothing was skipped, see docs/runbook/kafka-data-loss.md"
            )
        if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
            raise TopicMissingError(f"UNKNOWN_TOPIC_OR_PART: {where} is not there ({error.str()})")
        if error.code() not in _PASSES and not error.retriable():
            raise KafkaException(error)

    def _asked(self, where: str) -> int | None:
        topic, _, partition = where.rpartition("/")
        (place,) = self._consumer.position([TopicPartition(topic, int(partition))])
        return place.offset if place.offset >= 0 else self.positions.get((topic, int(partition)))

    def _partitions(self) -> set[tuple[str, int]]:
        found = set()
        topics = self._consumer.list_topics(timeout=_ANSWER_SECONDS).topics
        for topic in (*self.first, *self.others):
            known = topics.get(topic)
            if known is None or known.error is not None:
                raise TopicMissingError(f"UNKNOWN_TOPIC_OR_PART: topic {topic} is not there; `medallion up` creates it")
            found |= {(topic, partition) for partition in known.partitions}
        return found

    def _assign(self) -> None:
        fresh = self._partitions() - self._assigned
        places = [TopicPartition(*key, self.positions.get(key, OFFSET_BEGINNING)) for key in sorted(fresh)]
        self._consumer.incremental_assign(places)
        self._assigned |= fresh
        self._looked = time.monotonic()

    def _look_for_partitions(self) -> None:
        """A topic may have been given more partitions."""
        if time.monotonic() - self._looked < _LOOK_FOR_PARTITIONS_SECONDS or self.to_the_end:
            return
        try:
            self._assign()
        except KafkaException:
            # The broker is away; that is for `read` to wait out.
            self._looked = time.monotonic()

    def _hold_back(self) -> None:
        """Let the topics of `first` come to their present end before the others flow."""
        for key in self._assigned:
            if self.to_the_end or key[0] in self.first:
                start, end = self._consumer.get_watermark_offsets(TopicPartition(*key), timeout=_ANSWER_SECONDS)
                if end > self.positions.get(key, start):
                    self._until[key] = end
        self._held_back = self._notes_ahead()
        if self._held_back:
            self._consumer.pause([TopicPartition(*key) for key in self._assigned if key[0] in self.others])

    def _notes_ahead(self) -> bool:
        return any(key[0] in self.first for key in self._until)

    def _reached(self, topic: str, partition: int, offset: int) -> None:
        """The end of a partition: what follows the last message may be markers of a transaction, so it tells more."""
        if offset >= self._until.get((topic, partition), offset + 1):
            del self._until[topic, partition]

    def _note_ends(self) -> None:
        if self._held_back and not self._notes_ahead():
            self._held_back = False
            self._consumer.resume([TopicPartition(*key) for key in self._assigned if key[0] in self.others])

"""What must hold between Kafka and bronze: every message arrived, each once, and a gap is one that was accepted."""

from datetime import datetime

from fraud_domain.kafka_client import client_configuration
from fraud_domain.settings import Settings
from fraud_domain.tables import table
from medallion_assets.defs.quality.finding import Finding
from medallion_assets.defs.quality.lake_sql import rows
from medallion_assets.defs.quality.view import Invariant, View

_TIMEOUT_SECONDS = 20.0


def offsets_contiguous(name: str) -> Invariant:
    """Per partition of a topic, bronze holds every offset from its first to its last, each once.

    Offsets that Kafka lost before they were read are no fault of bronze, if somebody accepted the gap
    (`medallion checkpoint rebase`).
    """

    def check(view: View) -> Finding:
        found = rows(
            view.lake,
            'SELECT topic, partition, count(*), count(DISTINCT "offset"), min("offset"), max("offset")'
            f" FROM {name} WHERE NOT starts_with(topic, 'history:') GROUP BY ALL ORDER BY ALL",
        )
        figures = {f"{topic}/{partition}": f"{low}..{high}" for topic, partition, _, _, low, high in found}
        for topic, partition, count, distinct, low, high in found:
            accepted = _accepted(view, topic, partition, low, high)
            if count != distinct or count != high - low + 1 - accepted:
                known = f", {accepted} of them lost and accepted" if accepted else ""
                return Finding(
                    False,
                    f"{topic}/{partition}: offsets {low}..{high} should be {high - low + 1 - accepted} rows{known},"
                    f" found {count} ({distinct} distinct)",
                    figures,
                )
        return Finding(True, f"{len(found)} partitions without gap or repeat", figures)

    return check


def reaches_kafka(name: str) -> Invariant:
    """Bronze holds every message that Kafka had before `settled_before`.

    Raises:
        KafkaException: the broker does not answer; then nothing is known.
    """
    topic = table(name).topic

    def check(view: View) -> Finding:
        ends = dict(
            rows(view.lake, f'SELECT partition, max("offset") + 1 FROM {name} WHERE topic = ? GROUP BY ALL', topic)
        )
        wanted = ends_before(view.platform.settings, topic, view.settled_before)
        figures = {f"{topic}/{p}": f"Kafka {end}, bronze {ends.get(p, 0)}" for p, end in wanted.items()}
        behind = {p: (ends.get(p, 0), end) for p, end in wanted.items() if ends.get(p, 0) < end}
        if behind:
            partition, (has, end) = min(behind.items())
            return Finding(
                False,
                f"{topic}/{partition}: Kafka has offsets up to {end - 1} that are older than"
                f" {view.settled_before:%H:%M:%S %Z}, bronze ends at {has - 1}: {end - has} messages are missing",
                figures,
            )
        return Finding(True, f"{len(wanted)} partitions hold what Kafka had", figures)

    return check


def ends_before(settings: Settings, topic: str, moment: datetime) -> dict[int, int]:
    """By partition that has any, the offset after the last message with a timestamp before `moment`.

    Raises:
        KafkaException: the broker does not answer.
    """
    # Not at import: the code location loads without a Kafka client.
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({**client_configuration(settings), "group.id": "medallion-checks"})
    try:
        known = consumer.list_topics(topic, timeout=_TIMEOUT_SECONDS).topics[topic].partitions
        asked = [TopicPartition(topic, p, int(moment.timestamp() * 1000)) for p in known]
        found = {}
        for at in consumer.offsets_for_times(asked, timeout=_TIMEOUT_SECONDS):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, at.partition), timeout=_TIMEOUT_SECONDS)
            end = at.offset if at.offset >= 0 else high
            if end > low:
                found[at.partition] = end
        return found
    finally:
        consumer.close()


def _accepted(view: View, topic: str, partition: int, low: int, high: int) -> int:
    """How many offsets between two that bronze holds were lost and accepted."""
    return sum(
        gap.messages
        for gap in view.gaps
        if (gap.topic, gap.partition) == (topic, partition) and low <= gap.first and gap.last <= high
    )

"""The Kafka topics: names, meaning and owner, in one place."""

from collections.abc import Mapping
from dataclasses import dataclass

TRANSACTIONS = "transactions"
FRAUD_LABELS = "fraud_labels"
ACCOUNT_EVENTS = "account_events"
FRAUD_DECISIONS = "fraud_decisions"
FRAUD_ALERTS = "fraud_alerts"
HISTORY_PREFIX = "history:"
"""A load of files stands in the place of a topic in the lake, under this and its name."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic; partitions and retention are settings, the same for all.

    `stream` is which of ours writes it, empty for producers outside; `upstream` are the topics it is made from.
    """

    name: str
    description: str
    owner: str
    stream: str = ""
    upstream: tuple[str, ...] = ()


_JUDGED = (TRANSACTIONS, ACCOUNT_EVENTS, FRAUD_LABELS)

TOPICS = (
    TopicSpec(TRANSACTIONS, "Payment attempts by customer_id, card numbers replaced by tokens", "team:data-platform"),
    TopicSpec(FRAUD_LABELS, "Ground truth as it becomes known, keyed by transaction_id", "team:fraud-analytics"),
    TopicSpec(ACCOUNT_EVENTS, "Logins and changes of an account, by customer_id", "team:data-platform"),
    TopicSpec(
        FRAUD_DECISIONS,
        "Every scored transaction with its features, rules and reasons",
        "team:fraud",
        stream="alerts",
        upstream=_JUDGED,
    ),
    TopicSpec(
        FRAUD_ALERTS, "Decisions that reached the alert threshold", "team:fraud", stream="alerts", upstream=_JUDGED
    ),
)


def producer_configuration(
    broker: Mapping[str, str | int | bool], more: Mapping[str, str | int]
) -> dict[str, str | int | bool]:
    """How every producer of ours sends, in librdkafka's words: acknowledged by all replicas, each message once.

    The partitioner is the hash of Java clients, so that every producer sends a customer to the same partition.

    Args:
        broker: where it is and how to log in, by `client_configuration`.
        more: options of the one producer.
    """
    return {**broker, "acks": "all", "enable.idempotence": True, "partitioner": "murmur2_random", **more}

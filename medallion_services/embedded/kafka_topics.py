"""Create the project's topics, on the embedded broker or an external one, and ask a broker if it works."""

import socket
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not say what it re-exports
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from fraud_domain.kafka_client import client_configuration
from fraud_domain.settings import Settings
from fraud_domain.topics import TOPICS, TopicSpec
from medallion_services.errors import UserError

_HOUR_MS = 3_600_000


def topic_config(settings: Settings) -> dict[str, str]:
    """Configuration of every topic. CreateTime: alert latency is measured from the producer's timestamp."""
    return {
        "message.timestamp.type": "CreateTime",
        "retention.ms": str(settings.kafka.retention_hours * _HOUR_MS),
        "cleanup.policy": "delete",
    }


def _admin(settings: Settings, said: list[str] | None = None) -> AdminClient:
    """A client; what it hears while it tries is added to `said`."""

    # Probing a broker that is still starting is normal; librdkafka would print each refusal.
    def hear(error: KafkaError) -> None:
        if said is not None:
            said.append(error.str())

    configuration: dict[str, Any] = {"log_level": 0, "error_cb": hear, "socket.timeout.ms": 10_000}
    return AdminClient(client_configuration(settings) | configuration)


def _reachable(bootstrap: str) -> bool:
    for server in bootstrap.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=1.0):
                return True
        except (OSError, ValueError):
            continue
    return False


def answers(settings: Settings) -> bool:
    """Whether a broker returns cluster metadata."""
    return not refusal(settings)


def refusal(settings: Settings, timeout: float = 2.0) -> str:
    """Why no broker returns cluster metadata; empty when one does."""
    if not _reachable(settings.kafka_bootstrap):
        return "nothing listens there"
    said: list[str] = []
    admin = _admin(settings, said)
    try:
        return "" if admin.list_topics(timeout=timeout).brokers else "it knows of no broker"
    except KafkaException as error:
        admin.poll(0)
        # What the connection met says more than that there was none.
        return next((text for text in said if "uthentication" in text or "SSL" in text), error.args[0].str())


def _create(admin: AdminClient, settings: Settings, topic: TopicSpec) -> None:
    wanted = NewTopic(topic.name, num_partitions=settings.kafka.partitions, config=topic_config(settings))
    try:
        admin.create_topics([wanted], request_timeout=20)[topic.name].result(timeout=30)
    except KafkaException as error:
        # Two preparations at once; one of them was first.
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def _align(admin: AdminClient, settings: Settings, topic: TopicSpec) -> None:
    """Bring an existing topic's configuration to the settings; partitions stay, they decide the order of keys."""
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in topic_config(settings).items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=entries)
    for outcome in admin.incremental_alter_configs([resource], request_timeout=20).values():
        outcome.result(timeout=30)


def create_topics(settings: Settings, topics: Sequence[TopicSpec] = TOPICS, align: bool = True) -> tuple[str, ...]:
    """Create the missing topics and return their names; `align` the others with the settings, too.

    A broker of somebody else's need not allow us either, if the topics are there and `align` is false.

    Raises:
        UserError: the broker refuses.
    """
    admin = _admin(settings)
    try:
        there = admin.list_topics(timeout=20).topics
        missing = [topic for topic in topics if topic.name not in there]
        for topic in missing:
            _create(admin, settings, topic)
        for topic in topics if align else ():
            if topic not in missing:
                _align(admin, settings, topic)
    except KafkaException as error:
        raise UserError(f"Kafka at {settings.kafka_bootstrap} refused to prepare the topics: {error}") from error
    return tuple(topic.name for topic in missing)

"""Mended messages back into Kafka; every attempt is recorded once the broker has it."""

from collections.abc import Iterable

import psycopg
from confluent_kafka import KafkaError, Message, Producer
from psycopg.types.json import Jsonb

from fraud_domain.kafka_client import client_configuration
from fraud_domain.settings import Settings
from fraud_domain.topics import producer_configuration
from medallion_services.errors import UserError
from medallion_services.quarantine.mending import Mended
from medallion_services.quarantine.reading import Position, Quarantined

_FLUSH_SECONDS = 30.0
_INSERT = """
INSERT INTO fraud.quarantine_replays
    (topic, partition, "offset", attempt, replayed_by, changes, new_partition, new_offset)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""


def replay(
    settings: Settings, mended: Iterable[tuple[Quarantined, Mended]], changes: dict[str, str], by: str
) -> dict[Position, Position]:
    """Send messages with their own Kafka timestamp; gives the new position of each.

    At least once: one that is sent and not recorded may be sent again, and silver drops the repeat.

    Raises:
        UserError: the broker refused one.
    """
    producer = Producer(producer_configuration(client_configuration(settings), {"log_level": 3}))
    sent: dict[Position, Position] = {}
    failed: list[str] = []
    with psycopg.connect(**settings.postgres_parameters("fraud_writer")) as connection:
        for message, content in mended:

            def delivered(error: KafkaError | None, arrived: Message, message: Quarantined = message) -> None:
                topic, partition, offset = arrived.topic(), arrived.partition(), arrived.offset()
                if error is not None or topic is None or partition is None or offset is None:
                    failed.append(f"{message.position}: {error.str() if error else 'no position'}")
                    return
                sent[message.position] = Position(topic, partition, offset)

            producer.produce(
                message.position.topic,
                key=content.key,
                value=content.value,
                timestamp=int(message.kafka_timestamp.timestamp() * 1000),
                headers=[
                    ("replay-of", str(message.position).encode()),
                    ("attempt", str(message.attempts + 1).encode()),
                ],
                on_delivery=delivered,
            )
            producer.flush(_FLUSH_SECONDS)
            if failed or message.position not in sent:
                raise UserError(f"not sent: {failed[0] if failed else message.position}; {len(sent)} were sent before")
            new = sent[message.position]
            connection.execute(
                _INSERT,
                (
                    message.position.topic,
                    message.position.partition,
                    message.position.offset,
                    message.attempts + 1,
                    by,
                    Jsonb(changes),
                    new.partition,
                    new.offset,
                ),
            )
            connection.commit()
    return sent

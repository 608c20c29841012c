"""Offsets that Kafka lost before bronze read them: found, and on request accepted, so that bronze can go on."""

import getpass

import duckdb
import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition

from fraud_domain.ingest_gaps import Gap
from fraud_domain.kafka_client import client_configuration
from fraud_domain.settings import Settings
from fraud_domain.tables import table
from medallion_services.errors import UserError
from medallion_services.lake_tables import open_table

_TIMEOUT_SECONDS = 20.0


def lost(settings: Settings, query: str) -> list[Gap]:
    """What lies between the end of a bronze table and what its topic still has.

    Raises:
        UserError: the broker does not answer.
    """
    spec = table(query)
    bronze = open_table(settings, spec)
    if bronze is None:
        return []
    topic = spec.topic
    with duckdb.connect() as connection:
        connection.register("bronze", bronze.to_pyarrow_dataset())
        ends: list[tuple[int, int]] = connection.execute(
            'SELECT partition, max("offset") + 1 FROM bronze WHERE topic = ? GROUP BY ALL ORDER BY ALL', [topic]
        ).fetchall()
    consumer = Consumer({**client_configuration(settings), "group.id": "medallion-doctor"})
    try:
        lows = {
            p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=_TIMEOUT_SECONDS)[0] for p, _ in ends
        }
    except KafkaException as error:
        raise UserError(f"Kafka at {settings.kafka_bootstrap} does not answer: {error}") from error
    finally:
        consumer.close()
    return [Gap(topic, p, end, lows[p] - 1) for p, end in ends if lows[p] > end]


def accept(connection: psycopg.Connection[tuple[object, ...]], gaps: list[Gap], reason: str) -> None:
    """Record that these messages are lost: bronze goes on after them, and its check counts them."""
    for gap in gaps:
        connection.execute(
            "INSERT INTO fraud.ingest_gaps (topic, partition, first_offset, last_offset, reason, made_by)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (gap.topic, gap.partition, gap.first, gap.last, reason, getpass.getuser()),
        )

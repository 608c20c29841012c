"""A plain loop for comparison: one consumer, our engine, one transaction for each poll; `python -m bench.plain_loop`.

It has the rules about customers and nothing else of the platform: histories are in memory and are made anew from the
start of the topic whenever it starts, nothing fences a second one, nothing reaches a lake, no message is quarantined.
"""

import sys
from collections import defaultdict

import orjson
import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from fraud_domain.acceptance import Acceptance
from fraud_domain.intervals import interval_micros
from fraud_domain.kafka_client import client_configuration
from fraud_domain.rules import Engine, History, alert_id, load_catalogue
from fraud_domain.settings import Settings
from fraud_domain.topics import ACCOUNT_EVENTS, TRANSACTIONS
from medallion_services.database.prepare import admin_parameters

TABLE = """
CREATE SCHEMA IF NOT EXISTS bench;
CREATE TABLE IF NOT EXISTS bench.loop_alerts (
    alert_id text PRIMARY KEY, transaction_id text, kafka_timestamp timestamptz,
    visible_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
_INSERT = """
INSERT INTO bench.loop_alerts (alert_id, transaction_id, kafka_timestamp)
VALUES (%s, %s, to_timestamp(%s / 1e6)) ON CONFLICT DO NOTHING
"""
_MOST, _WAIT_SECONDS = 500, 0.02


def main() -> int:
    """Judge messages until it is ended."""
    settings = Settings()
    engine = Engine(load_catalogue(settings.rules.directory), settings.rules)
    acceptance = Acceptance(interval_micros(settings.streams.future_tolerance))
    histories: defaultdict[str, History] = defaultdict(engine.new_history)
    options = {"group.id": "loop", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
    consumer = Consumer({**client_configuration(settings), **options})
    consumer.assign(
        [
            TopicPartition(topic, partition, OFFSET_BEGINNING)
            for topic in (ACCOUNT_EVENTS, TRANSACTIONS)
            for partition in range(settings.kafka.partitions)
        ]
    )
    with psycopg.connect(**admin_parameters(settings, settings.postgres.database)) as connection:
        connection.execute(TABLE)
        connection.commit()
        while True:
            found = []
            for message in consumer.consume(_MOST, _WAIT_SECONDS):
                value, at = message.value(), message.timestamp()[1] * 1000
                if message.error() is not None or value is None:
                    continue
                if message.topic() == ACCOUNT_EVENTS:
                    if noted := acceptance.accept_note(ACCOUNT_EVENTS, value, at):
                        engine.note(histories[orjson.loads(value)["customer_id"]], *noted)
                    continue
                event = acceptance.accept(value, at)
                decision = engine.decide(histories[event["customer_id"]], event) if event else None
                if decision is not None and decision.alert:
                    found.append((alert_id(decision), decision.transaction_id, at))
            if found:
                connection.cursor().executemany(_INSERT, found)
                connection.commit()


if __name__ == "__main__":
    sys.exit(main())

"""The pipeline under test: the product's own streams on real servers, driven until they have read everything."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from psycopg.rows import DictRow, dict_row
from pydantic import ValidationError
from pyspark.sql import SparkSession

from fraud_domain.cards import find_card_numbers
from fraud_domain.contract import (
    EDGE_ONLY_FIELDS,
    LEAKAGE_FIELDS,
    MAX_MESSAGE_BYTES,
    OLDEST_EVENT,
    REFUSED_FIELDS,
    SCHEMA_VERSION,
    Transaction,
)
from fraud_domain.rules import Catalogue, Decision, Subject, load_catalogue
from fraud_domain.settings import AlertLane, Settings
from fraud_domain.tables import table
from fraud_domain.topics import ACCOUNT_EVENTS, FRAUD_LABELS
from medallion_assets_tests.reference_evaluator import ReferenceEvaluator
from medallion_services.lake_tables import open_table
from spark_jobs import direct_to_postgres, streaming_bronze, streaming_gold, streaming_silver, streaming_to_postgres
from spark_jobs.spark_runtime import Start

STARTS: dict[str, Start] = {
    "alerts": streaming_to_postgres.start,
    "bronze": streaming_bronze.start,
    "silver": streaming_silver.start,
    "gold": streaming_gold.start,
}
AVAILABLE_NOW = {name: {"mode": "availableNow"} for name in (*STARTS, "alerts_about_others", "notes")}
TOLERANCE_SECONDS = 300


def drain(spark: SparkSession, settings: Settings, *streams: str) -> None:
    """Run streams one after another until each has read all there is."""
    for name in streams:
        epoch = take_lease(settings, name)
        if name == "alerts" and settings.streams.alert_lane is AlertLane.DIRECT:
            drain_direct(settings, epoch)
            continue
        for query in STARTS[name](spark, settings, epoch):
            query.awaitTermination()


def drain_direct(settings: Settings, epoch: int) -> None:
    """Run the direct lane until it has read all there is."""
    lane = direct_to_postgres.start(settings, epoch)
    lane.join()
    assert not lane.failure(), lane.failure()


def drain_all(spark: SparkSession, settings: Settings) -> None:
    """Everything from Kafka to gold; gold twice, because its rule metrics read its decisions."""
    drain(spark, settings, "alerts", "bronze", "silver", "gold", "gold")


def take_lease(settings: Settings, stream: str) -> int:
    """Make this process the stream's writer; returns the epoch."""
    with psycopg.connect(**settings.postgres_parameters("fraud_writer"), autocommit=True) as connection:
        row = connection.execute(
            "INSERT INTO fraud.stream_lease AS l (stream, epoch, holder) VALUES (%s, 1, 'test')"
            " ON CONFLICT (stream) DO UPDATE SET epoch = l.epoch + 1 RETURNING epoch",
            (stream,),
        ).fetchone()
    assert row is not None
    return int(row[0])


def database(settings: Settings, role: str = "fraud_reader") -> psycopg.Connection[DictRow]:
    """A connection of a test."""
    return psycopg.connect(**settings.postgres_parameters(role), row_factory=dict_row, autocommit=True)


def lake_rows(settings: Settings, name: str, columns: list[str] | None = None) -> list[dict[str, object]]:
    """Rows of a Delta table read without a JVM."""
    delta = open_table(settings, table(name))
    assert delta is not None, f"{name} was never written"
    found: list[dict[str, object]] = delta.to_pyarrow_table(columns=columns).to_pylist()
    return found


def messages(settings: Settings, topic: str) -> Iterator[Any]:
    """Every message of a topic, partition by partition, in offset order."""
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka_bootstrap, "group.id": "test", "enable.auto.commit": False}
    )
    try:
        for partition in range(settings.kafka.partitions):
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
            position = 0
            while position < end:
                message = consumer.poll(10)
                assert message is not None, f"{topic}/{partition} stopped at {position} of {end}"
                assert message.error() is None
                offset = message.offset()
                assert offset is not None
                position = offset + 1
                yield message
    finally:
        consumer.close()


def accepted(value: bytes | None, kafka_timestamp_ms: int) -> Transaction | None:
    """The transaction of a message by the pydantic contract, or None; the oracle of Spark's contract."""
    if not value or len(value) > MAX_MESSAGE_BYTES:
        return None
    try:
        document = orjson.loads(value)
        transaction = Transaction.model_validate(document)
    except (orjson.JSONDecodeError, ValidationError):
        return None
    if not set(document).isdisjoint(EDGE_ONLY_FIELDS | REFUSED_FIELDS | LEAKAGE_FIELDS):
        return None
    if (transaction.schema_version or 1) > SCHEMA_VERSION or transaction.event_time < OLDEST_EVENT:
        return None
    if any(find_card_numbers(value.decode())):
        return None
    ahead = transaction.event_time.timestamp() - kafka_timestamp_ms / 1000
    return None if ahead > TOLERANCE_SECONDS else transaction


Decided = dict[tuple[str, str], Decision]
"""By kind of subject and transaction id."""


@dataclass
class Known:
    """What the oracle remembers of one subject."""

    arrived: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    raised: list[tuple[str | None, int]] = field(default_factory=list)


def expected_decisions(settings: Settings) -> Decided:
    """What the slow reference evaluator decides, in log order, about everybody whom a transaction names.

    Labels and account events come first, as in the one batch that an availableNow run makes of a short topic.
    About others than customers only what hit a rule is told.
    """
    catalogue = load_catalogue(settings.rules.directory)
    evaluators = {s: ReferenceEvaluator(catalogue, settings.rules, s) for s in catalogue.subjects}
    known: dict[tuple[Subject, str], Known] = defaultdict(Known)
    for subject, name, origin, note in _notes(settings, catalogue):
        known[subject, name].notes.setdefault(origin, []).append(note)
    decisions: Decided = {}
    for message in messages(settings, "transactions"):
        transaction = accepted(message.value(), message.timestamp()[1])
        if transaction is None:
            continue
        event = transaction.model_dump(mode="python")
        event["event_time"] = micros(transaction.event_time)
        event = {key: str(value) if isinstance(value, str) else value for key, value in event.items()}
        for subject, evaluator in evaluators.items():
            if event[subject.field] is None:
                continue
            of = known[subject, event[subject.field]]
            decision = evaluator.decide(of.arrived, event, of.notes, of.raised)
            if decision is None:
                continue
            of.arrived.append(event)
            if decision.alert and subject is not Subject.CUSTOMER:
                of.raised.append((decision.typology, decision.period))
            if subject is Subject.CUSTOMER or decision.reasons or decision.shadow:
                decisions[subject.value, transaction.transaction_id] = decision
    return decisions


def _notes(settings: Settings, catalogue: Catalogue) -> Iterator[tuple[Subject, str, str, dict[str, Any]]]:
    for subject in catalogue.subjects:
        about_customers = subject is Subject.CUSTOMER
        topic, origin = (ACCOUNT_EVENTS, "account_events") if about_customers else (FRAUD_LABELS, "labels")
        for message in messages(settings, topic):
            note = orjson.loads(message.value())
            note["event_time"] = micros(datetime.fromisoformat(note["event_time" if about_customers else "label_time"]))
            if note.get(subject.field) is not None:
                yield subject, note[subject.field], origin, note


def micros(moment: datetime) -> int:
    """Epoch microseconds, exactly."""
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds

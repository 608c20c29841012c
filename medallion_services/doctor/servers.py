"""Ask database, broker and lake, compare clocks, and examine the checkpoints of streams that stand still."""

from collections.abc import Callable
from typing import Any

import psycopg
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not say what it re-exports
    AdminClient,
    OffsetSpec,
)
from deltalake.exceptions import DeltaError

from fraud_domain.kafka_client import client_configuration
from fraud_domain.settings import MissingSecretError, Settings
from fraud_domain.streams import STREAMS, lock_name
from fraud_domain.tables import TableSpec, delta_tables
from fraud_domain.topics import TRANSACTIONS
from medallion_services.checkpoints.doctor import examine as examine_checkpoint
from medallion_services.doctor import machine, stores
from medallion_services.doctor.finding import Finding, warning
from medallion_services.embedded import kafka_topics
from medallion_services.errors import UserError
from medallion_services.lake_tables import open_table

_TIMEOUT = 5
# A bigint lock is shown in two halves.
_HELD = (
    "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND ((classid::bigint << 32) | objid::bigint) = hashtextextended(%s, 0))"
)


def examine_servers(
    settings: Settings, running: bool, tolerance: float, clock: Callable[[], float]
) -> tuple[Finding, ...]:
    """Findings about servers and stores.

    Args:
        settings: where they are.
        running: whether the embedded stack runs, so that its servers must answer.
        tolerance: how far ahead of Kafka's timestamp an event may be, seconds.
        clock: this machine's time, epoch seconds.
    """
    return (
        *_database(settings, running, tolerance, clock),
        *_kafka(settings, running, tolerance, clock),
        *stores.judge_lake(settings.lake_root, {spec.full_name: _table(settings, spec) for spec in delta_tables()}),
    )


def _database(settings: Settings, running: bool, tolerance: float, clock: Callable[[], float]) -> tuple[Finding, ...]:
    place = f"{settings.postgres_host}:{settings.postgres.port}"
    expected = running or bool(settings.postgres.host)
    try:
        with psycopg.connect(**settings.postgres_parameters("fraud_reader"), connect_timeout=_TIMEOUT) as connection:
            drift, uncertainty = _drift(connection, clock)
            held = [spec.name for spec in STREAMS if _one(connection, _HELD, lock_name(spec.name))]
    except (psycopg.Error, MissingSecretError) as error:
        return (stores.judge_database(place, str(error).splitlines()[0], expected),)
    return (
        stores.judge_database(place, "", expected),
        machine.judge_clock(drift, uncertainty, tolerance),
        *_checkpoints(settings, held),
    )


def _one(connection: psycopg.Connection[Any], query: str, *parameters: object) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None


def _drift(connection: psycopg.Connection[Any], clock: Callable[[], float]) -> tuple[float, float]:
    """The server's clock minus ours, and half the round trip, seconds."""
    _one(connection, "SELECT 1")
    before = clock()
    there = float(_one(connection, "SELECT extract(epoch FROM clock_timestamp())::float8"))
    after = clock()
    return there - (before + after) / 2, (after - before) / 2


def _kafka(settings: Settings, running: bool, tolerance: float, clock: Callable[[], float]) -> tuple[Finding, ...]:
    expected = running or bool(settings.kafka.bootstrap_servers)
    refusal = kafka_topics.refusal(settings)
    found = stores.judge_kafka(settings.kafka_bootstrap, refusal, expected)
    if refusal:
        return (found,)
    try:
        newest = _newest(settings)
    except KafkaException as error:
        return (found, warning("clock", f"Kafka does not tell its newest message: {error}", "try again"))
    return (found,) if newest is None else (found, machine.judge_newest(newest - clock(), tolerance))


def _newest(settings: Settings) -> float | None:
    """The latest timestamp among the transactions, epoch seconds; None when there are none."""
    admin = AdminClient({**client_configuration(settings), "log_level": 0})
    topic = admin.list_topics(TRANSACTIONS, timeout=_TIMEOUT).topics[TRANSACTIONS]
    spec = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]
    wanted = {TopicPartition(TRANSACTIONS, each): spec for each in topic.partitions}
    if topic.error is not None or not wanted:
        return None
    asked = admin.list_offsets(wanted, request_timeout=_TIMEOUT)
    stamps = [answer.result(timeout=2 * _TIMEOUT).timestamp for answer in asked.values()]
    newest = max(stamps)
    return newest / 1000 if newest > 0 else None


def _table(settings: Settings, spec: TableSpec) -> str:
    try:
        return "" if open_table(settings, spec) is not None else stores.ABSENT
    except (DeltaError, OSError, ValueError, MissingSecretError) as error:
        return str(error).splitlines()[0]


def _checkpoints(settings: Settings, held: list[str]) -> tuple[Finding, ...]:
    queries = [f"{spec.name}.{query}" for spec in STREAMS if spec.name not in held for query in spec.queries]
    try:
        diagnoses = [examine_checkpoint(settings, query) for query in queries]
    except (UserError, DeltaError, OSError) as error:
        return (stores.not_examined(str(error).splitlines()[0]),)
    return stores.judge_checkpoints(diagnoses, held)

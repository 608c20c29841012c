"""Damaged checkpoints of a real pipeline, treated by the doctor: nothing is lost, nothing is doubled."""

import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from deltalake import write_deltalake
from pyspark.errors.exceptions.base import StreamingQueryException
from pyspark.sql import SparkSession

from fraud_domain.kafka_client import client_configuration
from fraud_domain.rules import alert_id
from fraud_domain.settings import Settings
from fraud_domain.tables import location, table
from fraud_domain.topics import FRAUD_LABELS, HISTORY_PREFIX, producer_configuration
from medallion_assets.defs.maintenance.lake import cut_log
from medallion_assets.defs.quality.finding import Finding
from medallion_assets.defs.quality.invariants import INVARIANTS
from medallion_assets.defs.quality.lake_sql import lake_sql
from medallion_assets.defs.quality.view import View, accepted_gaps
from medallion_assets.platform import Platform
from medallion_assets_tests.pipeline import AVAILABLE_NOW, database, drain, expected_decisions, lake_rows
from medallion_services.checkpoints.doctor import examine, rebase, treat
from medallion_services.checkpoints.judging import Remedy
from medallion_services.checkpoints.sinks import queries
from medallion_services.embedded import kafka, postgres
from medallion_services.embedded.java import Java
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.throwaway import fresh_settings, running
from medallion_services.errors import UserError
from medallion_services.generator.noise import Noise
from medallion_services.generator.producer import KafkaSink
from medallion_services.generator.timeline import Plan, Timeline
from medallion_services.generator.world import World
from medallion_services.lake_tables import open_table
from spark_jobs.lease import Lease
from spark_jobs.sources import has_first_commit

SEED, CUSTOMERS = 7, 40


def produce(settings: Settings, run_id: str, repeat: bool = False) -> None:
    """Twenty minutes of traffic full of fraud, duplicates and damage; `repeat` sends the same run once more."""
    world = World(SEED, CUSTOMERS, CUSTOMERS, settings.token_key())
    plan = Plan(0.1, SEED, fraud_share=0.5, run_id=run_id, noise=Noise(duplicates=0.1, malformed=0.1))
    now = time.time()
    with KafkaSink(settings) as sink:
        for _ in range(2 if repeat else 1):
            for emission in Timeline(world, plan).emissions(now - 1200, now):
                sink.send(emission)


@pytest.fixture(scope="module")
def stack(spark: SparkSession, java: Java) -> Iterator[Settings]:
    """A pipeline that has run twice, so that every checkpoint holds more than one batch."""
    with fresh_settings() as fresh:
        settings = Settings.model_validate(fresh.model_dump() | {"streams": AVAILABLE_NOW})
        with running(settings, postgres.component(settings)), running(settings, kafka.component(settings, java)):
            prepare_database(settings)
            for run_id in ("first", "second"):
                produce(settings, run_id)
                drain(spark, settings, "alerts", "bronze", "silver", "gold")
            yield settings


def checkpoint(settings: Settings, query: str) -> Path:
    return Path(settings.checkpoint_root, *query.split("."))


def newest(folder: Path, suffix: str = "") -> Path:
    return max((p for p in folder.iterdir() if p.name.removesuffix(suffix).isdigit()), key=lambda p: int(p.stem))


def assert_nothing_lost_nothing_doubled(settings: Settings) -> None:
    """Bronze, silver, quarantine, decisions and alerts against Kafka and the reference evaluator."""
    expected = expected_decisions(settings)
    positions = Counter(
        (r["topic"], r["partition"], r["offset"])
        for r in lake_rows(settings, "bronze.transactions", ["topic", "partition", "offset"])
    )
    assert set(positions.values()) == {1}
    accepted = {transaction for kind, transaction in expected if kind == "customer"}
    silver = Counter(str(r["transaction_id"]) for r in lake_rows(settings, "silver.transactions", ["transaction_id"]))
    assert silver == Counter(accepted)
    refused = Counter(
        (r["topic"], r["partition"], r["offset"])
        for r in lake_rows(settings, "silver.quarantine", ["topic", "partition", "offset"])
    )
    assert set(refused.values()) == {1}
    decided = Counter(
        (str(r["subject_kind"]), str(r["transaction_id"]))
        for r in lake_rows(settings, "gold.fraud_decisions", ["subject_kind", "transaction_id"])
    )
    assert decided == Counter(expected.keys())
    with database(settings) as connection:
        alerts = {row["alert_id"] for row in connection.execute("SELECT alert_id FROM fraud.alerts").fetchall()}
    assert alerts == {alert_id(d) for d in expected.values() if d.alert}


def test_whole_checkpoints_are_called_whole(stack: Settings) -> None:
    assert {query: examine(stack, query).findings for query in queries()} == {query: [] for query in queries()}


def test_a_running_stream_is_left_alone(stack: Settings) -> None:
    with (
        Lease(stack.postgres_parameters("fraud_writer"), ("silver",), "a driver"),
        pytest.raises(UserError, match="stream silver is running"),
    ):
        treat(stack, "silver.transactions", datetime.now(UTC))


def test_what_can_be_repaired_goes_on_without_loss(stack: Settings, spark: SparkSession) -> None:
    (checkpoint(stack, "silver.transactions") / "metadata").unlink()
    newest(checkpoint(stack, "silver.labels") / "commits").write_bytes(b"")
    offsets = checkpoint(stack, "silver.account_events") / "offsets"
    (offsets / str(int(newest(offsets).name) + 1)).write_bytes(b"v1\n{")
    changelog = newest(checkpoint(stack, "alerts.decide") / "state/0/1", ".changelog")
    changelog.write_bytes(changelog.read_bytes()[:-3])
    before = newest(checkpoint(stack, "gold.decisions") / "offsets")
    (before.parent / str(int(before.name) - 1)).write_bytes(b"")
    damaged = ["silver.transactions", "silver.labels", "silver.account_events", "alerts.decide", "gold.decisions"]
    produce(stack, "third", repeat=True)
    for query in damaged:
        assert examine(stack, query).remedy is Remedy.REPAIR, query
        assert treat(stack, query, datetime.now(UTC))
        assert examine(stack, query).remedy is Remedy.NOTHING, query
    drain(spark, stack, "alerts", "bronze", "silver", "gold")
    assert_nothing_lost_nothing_doubled(stack)


def test_what_cannot_be_repaired_begins_anew_and_writes_only_what_is_missing(
    stack: Settings, spark: SparkSession
) -> None:
    """State and whole directories gone, while messages wait and old ones are repeated."""
    for store in (checkpoint(stack, "silver.transactions") / "state/0").glob("[0-9]"):
        for changelog in store.glob("*.changelog"):
            changelog.write_bytes(b"")
    shutil.rmtree(checkpoint(stack, "silver.labels"))
    shutil.rmtree(checkpoint(stack, "alerts.decide"))
    newest(checkpoint(stack, "alerts.decide_others") / "offsets").unlink()
    newest(checkpoint(stack, "gold.decisions") / "offsets").write_bytes(b"v1\n{}")
    shutil.rmtree(checkpoint(stack, "bronze.transactions"))
    produce(stack, "fourth", repeat=True)
    for query in ("silver.transactions", "silver.labels", "alerts.decide", "alerts.decide_others", "gold.decisions"):
        assert examine(stack, query).remedy is Remedy.REBASE, query
        assert "writes only what is missing" in rebase(stack, query, "a test", datetime.now(UTC))[-1]
    assert examine(stack, "bronze.transactions").remedy is Remedy.NOTHING
    for _ in range(2):
        drain(spark, stack, "alerts", "bronze", "silver", "gold")
        assert_nothing_lost_nothing_doubled(stack)
    for query in queries():
        assert examine(stack, query).remedy is Remedy.NOTHING, query


def test_a_rebase_reads_a_day_of_a_table_whose_log_was_cut(stack: Settings, spark: SparkSession) -> None:
    """But not what was loaded from files, which silver got another way."""
    bronze = open_table(stack, table("bronze.transactions"))
    assert bronze is not None
    read = bronze.to_pyarrow_table().slice(0, 1).to_pylist()[0]
    value = read["value"].replace(b'"transaction_id":"', b'"transaction_id":"from-a-file-')
    loaded = {"topic": f"{HISTORY_PREFIX}x", "value": value}
    days_ago = read["ingested_at"] - timedelta(days=3)
    done = {"offset": -1, "value": value, "ingested_at": days_ago, "ingest_date": days_ago.date()}
    rows = pa.Table.from_pylist([read | loaded, read | done], pa.schema(bronze.schema().to_arrow()))
    write_deltalake(bronze, rows, mode="append")
    old = time.time() - 2 * 86_400
    for entry in Path(location(stack.lake_root, table("bronze.transactions")), "_delta_log").iterdir():
        os.utime(entry, (old, old))
    cut_log(bronze)
    assert not has_first_commit(spark, stack, table("bronze.transactions"))
    assert has_first_commit(spark, stack, table("bronze.labels"))
    now = datetime.now(UTC)
    day_before = f"{now - timedelta(days=1):%Y-%m-%d}"
    assert f"reads from {day_before}" in rebase(stack, "silver.transactions", "a test", now)[-1]
    drain(spark, stack, "silver", "gold")
    assert_nothing_lost_nothing_doubled(stack)


def send_labels(settings: Settings, number: int) -> None:
    """Messages that are no labels, and reach bronze all the same."""
    producer = Producer(producer_configuration(client_configuration(settings), {}))
    for _ in range(number):
        producer.produce(FRAUD_LABELS, b"{}", partition=0)
    assert producer.flush(30) == 0


def look(settings: Settings, check: str, name: str = "bronze.labels") -> Finding:
    """What a check of a table says."""
    platform = Platform(settings)
    with lake_sql(platform) as lake, platform.database() as connection:
        later = datetime.now(UTC) + timedelta(hours=1)
        view = View(platform, lake, connection, later, accepted_gaps(connection))
        return INVARIANTS[name][check](view)


def test_a_message_that_bronze_lacks_turns_its_check_red(stack: Settings, spark: SparkSession) -> None:
    assert look(stack, "reaches_kafka").passed
    send_labels(stack, 3)
    finding = look(stack, "reaches_kafka")
    assert not finding.passed
    assert re.match(r"fraud_labels/0: Kafka has offsets up to \d+ .* 3 messages are missing", finding.text)
    drain(spark, stack, "bronze")
    assert look(stack, "reaches_kafka").passed


def test_messages_that_kafka_lost_stop_bronze_until_the_gap_is_accepted(stack: Settings, spark: SparkSession) -> None:
    send_labels(stack, 5)
    admin = AdminClient({"bootstrap.servers": stack.kafka_bootstrap})
    partition = TopicPartition(FRAUD_LABELS, 0, -1)
    deleted = admin.delete_records([partition])
    assert next(iter(deleted.values())).result(30).low_watermark > 5
    send_labels(stack, 1)
    with pytest.raises(StreamingQueryException, match="may have been lost"):
        drain(spark, stack, "bronze")
    said = rebase(stack, "bronze.labels", "a test", datetime.now(UTC))
    assert re.search(r"lost and accepted: fraud_labels/0: offsets \d+ to \d+ \(5 messages\)", "\n".join(said))
    drain(spark, stack, "bronze")
    assert look(stack, "reaches_kafka").passed
    assert look(stack, "offsets_contiguous").passed


def test_rows_that_a_watermark_dropped_turn_the_check_red(stack: Settings) -> None:
    assert look(stack, "no_row_behind_the_watermark", "silver.transactions").passed
    with database(stack, "fraud_writer") as connection:
        connection.execute(
            "INSERT INTO fraud.stream_progress"
            " (stream, query, batch_id, at, input_rows, rows_per_second, batch_ms, detail)"
            """ VALUES ('silver', 'silver.transactions', 1, now(), 9, 1, 1, '{"dropped_by_watermark": 2}')"""
        )
    finding = look(stack, "no_row_behind_the_watermark", "silver.transactions")
    assert not finding.passed
    assert finding.text.startswith("silver.transactions dropped 2 rows behind its watermark since ")

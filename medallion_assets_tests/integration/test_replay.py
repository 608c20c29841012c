"""`medallion replay` against a real broker: what arrives, and what a killed replay leaves to do."""

import gzip
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from pyspark.sql import SparkSession

from fraud_domain.acceptance import Acceptance
from fraud_domain.settings import PROJECT_ROOT, Settings
from fraud_domain.topics import FRAUD_LABELS, TRANSACTIONS
from medallion_assets.defs.quality.invariants import INVARIANTS
from medallion_assets.defs.quality.lake_sql import lake_sql
from medallion_assets.defs.quality.view import View
from medallion_assets.platform import Platform
from medallion_assets_tests.pipeline import AVAILABLE_NOW, drain
from medallion_services.embedded.environment import stack_environment
from medallion_services.replay.progress import read_progress

SAMPLE = PROJECT_ROOT / "samples" / "european_cards.csv.gz"
MAPPING = PROJECT_ROOT / "samples" / "european_cards.mapping.yaml"
REFUSED = 10
SENT = gzip.decompress(SAMPLE.read_bytes()).count(b"\n") - 1 - REFUSED
MINUTE_US = 60_000_000


@contextmanager
def ends(kafka: Settings) -> Iterator[dict[TopicPartition, int]]:
    """High watermarks of both topics, before something is sent."""
    consumer = Consumer({"bootstrap.servers": kafka.kafka_bootstrap, "group.id": "none"})
    found = {}
    for topic in (TRANSACTIONS, FRAUD_LABELS):
        for partition in consumer.list_topics(topic, timeout=30).topics[topic].partitions:
            place = TopicPartition(topic, partition)
            found[place] = consumer.get_watermark_offsets(place, timeout=30)[1]
    consumer.close()
    yield found


def since(kafka: Settings, before: dict[TopicPartition, int], quiet: float = 3.0) -> list[Message]:
    """Every message after those offsets, until nothing more comes."""
    consumer = Consumer({"bootstrap.servers": kafka.kafka_bootstrap, "group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition(place.topic, place.partition, offset) for place, offset in before.items()])
    found: list[Message] = []
    last = time.monotonic()
    while time.monotonic() - last < quiet:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            found.append(message)
            last = time.monotonic()
    consumer.close()
    return found


def run(kafka: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`medallion replay` of the sample as a person runs it."""
    return subprocess.run(
        command(*arguments), env=stack_environment(kafka), capture_output=True, text=True, check=False
    )


def command(*arguments: str) -> list[str]:
    """Its words."""
    return [sys.executable, "-m", "medallion_services", "replay", str(SAMPLE), "-m", str(MAPPING), *arguments]


def of(messages: list[Message], topic: str) -> list[Message]:
    """Those of one topic."""
    return [message for message in messages if message.topic() == topic]


def body(message: Message) -> dict[str, Any]:
    """Its content."""
    content: dict[str, Any] = orjson.loads(message.value() or b"")
    return content


def micros(text: str) -> int:
    """Epoch microseconds of a time of the wire."""
    return round(datetime.fromisoformat(text).timestamp() * 1e6)


def test_replay_sends_every_row_once_with_its_key_its_time_and_its_label(kafka: Settings, tmp_path: Path) -> None:
    rejected = tmp_path / "rejected.jsonl"
    with ends(kafka) as before:
        ran = run(kafka, "--rejected", str(rejected))
    assert ran.returncode == 0, ran.stderr
    messages = since(kafka, before)
    transactions, labels = of(messages, TRANSACTIONS), of(messages, FRAUD_LABELS)
    refused = [orjson.loads(line) for line in rejected.read_bytes().splitlines()]
    assert len({(m.partition(), m.offset()) for m in transactions}) == len(transactions)
    assert (len(transactions), len(refused)) == (SENT, REFUSED), ran.stdout + str(before)
    assert f"rows read: {SENT + REFUSED:,} = transactions sent: {SENT:,} + refused: {REFUSED}" in ran.stdout
    contract = Acceptance(future_tolerance_us=5 * MINUTE_US)
    moments: dict[str, int] = {}
    for message in transactions:
        stamp = message.timestamp()[1]
        event = contract.accept(message.value() or b"", stamp * 1000)
        assert event is not None, "silver would quarantine it"
        assert (message.key() or b"").decode() == event["customer_id"]
        assert stamp == event["event_time"] // 1000
        assert not {"is_fraud", "label", "fraud"} & body(message).keys()
        moments[event["transaction_id"]] = event["event_time"]
    assert len(moments) == SENT
    assert labels
    week = 7 * 86_400_000_000
    for message in labels:
        label = body(message)
        assert (message.key() or b"").decode() == label["transaction_id"]
        assert micros(label["label_time"]) == moments[label["transaction_id"]] + week
        assert message.timestamp()[1] == micros(label["label_time"]) // 1000
    assert {body(message)["label"] for message in labels} == {"fraud", "legit"}


def test_killed_replay_goes_on_and_loses_nothing(kafka: Settings) -> None:
    with ends(kafka) as before:
        process = subprocess.Popen(command("--speed", "200000"), env=stack_environment(kafka), stderr=subprocess.PIPE)
        directory = kafka.data_dir / "replay"
        try:
            sent = wait_for_progress(directory, process)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(30)
            assert process.stderr
            process.stderr.close()
        halfway = Counter(body(m)["transaction_id"] for m in of(since(kafka, before), TRANSACTIONS))
        resumed = run(kafka, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "going on after" in resumed.stderr
    messages = of(since(kafka, before), TRANSACTIONS)
    seen = Counter(body(message)["transaction_id"] for message in messages)
    assert 0 < len(halfway) < SENT, "it was not killed in the middle"
    assert len(seen) == SENT, "a message was lost"
    unacknowledged = len(halfway) - sent
    assert len(messages) - SENT <= max(unacknowledged, 0) + 1_000
    same = {message.key(): message.partition() for message in messages}
    assert all(same[message.key()] == message.partition() for message in messages)
    again = run(kafka, "--resume")
    assert f"transactions sent: 0 (and {SENT:,} before)" in again.stdout, again.stdout + again.stderr


def wait_for_progress(directory: Path, process: subprocess.Popen[bytes]) -> int:
    """Messages acknowledged once some hundreds are, of a replay that is under way."""
    deadline = time.monotonic() + 60
    started = time.time()
    while time.monotonic() < deadline and process.poll() is None:
        for path in directory.glob("*.progress.json"):
            progress = read_progress(path) if path.stat().st_mtime > started - 5 else None
            if progress and 300 < progress.sent < progress.total:
                return progress.sent
        time.sleep(0.05)
    pytest.fail("the replay never got anywhere")


def test_times_can_be_moved_to_the_present_by_whole_days(kafka: Settings) -> None:
    with ends(kafka) as before:
        ran = run(kafka, "--shift-to-now", "--limit", "20")
    assert ran.returncode == 0, ran.stderr
    messages = of(since(kafka, before), TRANSACTIONS)
    assert len(messages) == 20
    for message in messages:
        assert message.timestamp()[1] == micros(body(message)["event_time"]) // 1000


def test_replay_without_a_broker_says_so(other_settings: Settings) -> None:
    ran = run(other_settings, "--limit", "1")
    assert ran.returncode == 1
    assert "broker" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_foreign_file_arrives_as_silver_quarantine_and_duplicates(
    kafka: Settings, postgres: Settings, spark: SparkSession, tmp_path: Path
) -> None:
    """Sent twice, with damage in between: rows in Kafka = silver + quarantine + duplicates, and refunds are kept."""
    apart = {"lake_uri": str(tmp_path / "lake"), "checkpoint_uri": str(tmp_path / "checkpoints")}
    settings = Settings.model_validate(kafka.model_dump() | {"streams": AVAILABLE_NOW} | apart)
    for _ in range(2):
        assert run(kafka, "--as-fast-as-possible").returncode == 0
    drain(spark, settings, "bronze", "silver")
    platform = Platform(settings)
    with lake_sql(platform) as lake, platform.database() as connection:
        view = View(platform, lake, connection, datetime.now(UTC) + timedelta(hours=1))
        finding = INVARIANTS["silver.transactions"]["nothing_lost"](view)
        assert finding.passed, finding.text
        own = "FROM silver.transactions WHERE customer_timezone = 'Europe/Berlin'"
        rows = lake.execute(f"SELECT count(*), count_if(amount < 0), count_if(amount = 0) {own}").fetchall()
    assert rows[0][0] == SENT
    assert rows[0][1] > 0
    assert rows[0][2] > 0
    assert finding.figures["duplicates"] >= SENT

"""What an error means for operators: as the streams, Spark, Kafka, Delta and PostgreSQL really word it."""

import re

import dagster as dg
import pytest

from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_assets.definitions import build_defs
from medallion_assets.defs.operations.classify import OTHER, PATTERNS, Kind, classify
from medallion_assets.defs.operations.raising import check_page, failed_check, failed_run

RETRY, OPERATOR, POISON = Kind.RETRY, Kind.NEEDS_OPERATOR, Kind.POISON


@pytest.mark.parametrize(
    ("text", "kind", "page"),
    [
        (
            "driver of alerts ended with exit code 1: stream alerts, query alerts.decide: ReplayDiffersError: batch 7"
            " of 'alerts' (generation a1) was committed with other alerts than it has now; nothing was written",
            POISON,
            "circuit-open",
        ),
        ("stream 'alerts': this driver holds epoch 4, the lease is held with epoch 5", RETRY, "second-writer"),
        (
            "driver of lake ended with exit code 75: stream 'bronze' is already being written by lake@host:9;"
            " stop it first: two writers lose data",
            OPERATOR,
            "second-writer",
        ),
        (
            "LostCheckpointError: silver.transactions has rows, but its checkpoint /c is gone",
            OPERATOR,
            "lost-checkpoint",
        ),
        ("RuleError: rules/pix_scam.yaml:12: score: unknown key", POISON, "circuit-open"),
        ("secret 'postgres_fraud_writer' not found at x", OPERATOR, "circuit-open"),
        (
            "[KAFKA_DATA_LOSS.COULD_NOT_READ_OFFSET_RANGE] Some data may have been lost because they are not available"
            " in Kafka any more; either the data was aged out by Kafka or the topic may have been deleted",
            OPERATOR,
            "kafka-data-loss",
        ),
        (
            "stream alerts, query alerts.decide: Some data may have been lost because they are not available in Kafka"
            " any more;",
            OPERATOR,
            "kafka-data-loss",
        ),
        ("org.apache.kafka.clients.consumer.OffsetOutOfRangeException: Fetch position", OPERATOR, "kafka-data-loss"),
        (
            "org.apache.kafka.common.errors.TimeoutException: Timeout of 60000ms expired before the position could be"
            " determined",
            RETRY,
            "stream-stopped",
        ),
        ("LogNotWrittenError: 12 decisions unacknowledged after 10 s", RETRY, "stream-stopped"),
        ("KafkaError{code=MSG_SIZE_TOO_LARGE}", POISON, "quarantine"),
        (
            'psycopg.OperationalError: connection failed: connection to server at "127.0.0.1", port 5632 failed:'
            " Connection refused",
            RETRY,
            "database-down",
        ),
        ("psycopg.errors.AdminShutdown: terminating connection due to administrator command", RETRY, "database-down"),
        ("psycopg.errors.InsufficientPrivilege: permission denied for table alerts", OPERATOR, "circuit-open"),
        ('psycopg.errors.UndefinedTable: relation "fraud.alerts" does not exist', OPERATOR, "database-down"),
        ('psycopg.errors.CheckViolation: new row for relation "alerts" violates check', POISON, "circuit-open"),
        ("psycopg.errors.DeadlockDetected: deadlock detected", RETRY, "database-down"),
        ("java.io.IOException: No space left on device", OPERATOR, "stream-stopped"),
        ("java.lang.OutOfMemoryError: Java heap space", OPERATOR, "circuit-open"),
        (
            "io.delta.exceptions.ConcurrentAppendException: [DELTA_CONCURRENT_APPEND] Files were added",
            RETRY,
            "second-writer",
        ),
        (
            "_internal.CommitFailedError: Failed to commit transaction: Commit failed: a concurrent transactions added",
            RETRY,
            "second-writer",
        ),
        ("[DELTA_FAILED_TO_MERGE_FIELDS] Failed to merge fields 'amount' and 'amount'", POISON, "circuit-open"),
        ("[DELTA_TRUNCATED_TRANSACTION_LOG] s3a://x: Unable to reconstruct state", OPERATOR, "lost-checkpoint"),
        ("[CANNOT_LOAD_STATE_STORE.UNCATEGORIZED] An error occurred during loading state", OPERATOR, "lost-checkpoint"),
        ("java.lang.IllegalStateException: checkpoints/bronze/offsets/12 does not exist", OPERATOR, "lost-checkpoint"),
        ("driver of lake ended with exit code -9: see its log", RETRY, "stream-stopped"),
        ("no heartbeat of silver for over 60 s: hung; killed", RETRY, "stream-stopped"),
        ("guard: no heartbeat for 70 s", RETRY, "stream-stopped"),
        ("py4j.protocol.Py4JNetworkError: Answer from Java side is empty", RETRY, "stream-stopped"),
        ("java.lang.UnsupportedClassVersionError: class file version 65.0", OPERATOR, "circuit-open"),
    ],
)
def test_an_error_leads_to_what_to_do_about_it(text: str, kind: Kind, page: str) -> None:
    cause = classify(text)
    assert (cause.kind, cause.page) == (kind, page), cause.name


def test_an_error_nobody_knows_needs_an_operator() -> None:
    assert classify("ZeroDivisionError: division by zero") is OTHER
    assert OTHER.kind is OPERATOR


def test_the_cause_that_is_named_first_in_the_table_counts() -> None:
    wrapped = "StreamingQueryException: OperationalError ... LostCheckpointError: silver has rows, but its checkpoint"
    assert classify(wrapped).page == "lost-checkpoint"


def test_every_page_is_in_the_runbook() -> None:
    checks = ("share_within_limit", "key_is_unique", "offsets_contiguous", "schema_matches")
    pages = {cause.page for _, cause in PATTERNS} | {OTHER.page} | {check_page(check) for check in checks}
    for page in pages:
        assert (PROJECT_ROOT / "docs" / "runbook" / f"{page}.md").exists(), page


def test_every_error_of_the_streams_is_known() -> None:
    texts = [file.read_text(encoding="utf-8") for file in (PROJECT_ROOT / "spark_jobs").rglob("*.py")]
    defined = {name for text in texts for name in re.findall(r"^class (\w+Error)\(", text, re.MULTILINE)}
    # What others are made of, and nobody meets by itself.
    defined.remove("PlainError")
    assert not any("raise PlainError" in text for text in texts)
    assert defined
    for name in defined:
        assert classify(f"{name}: x") is not OTHER, name


def test_an_alert_holds_no_card_number_and_is_told_once_a_cause() -> None:
    first = failed_run("run_lake_streams", "r1", ["CheckViolation: failing row (4111111111111111)"])
    second = failed_run("run_lake_streams", "r2", ["CheckViolation: failing row (5555555555554444)"])
    assert "4111111111111111" not in first.body
    assert "************1111" in first.body
    assert first.key == second.key
    assert first.severity == "critical"
    assert "4111111111111111" not in failed_check("a", "b", "found 4111111111111111", "checks").body


@pytest.mark.parametrize("name", ["failed_runs", "failed_checks"])
def test_the_sensors_run_by_default(name: str) -> None:
    sensor = build_defs(Settings()).resolve_sensor_def(name)
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


def test_what_mends_itself_is_a_warning() -> None:
    assert failed_run("run_lake_streams", "r", ["exit code -9: see its log"]).severity == "warning"

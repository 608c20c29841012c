"""What streams report about their batches, and the one line that says why a query failed."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from spark_jobs.progress import from_json, kafka_lag
from spark_jobs.spark_runtime import first_cause

KAFKA_SOURCE: dict[str, Any] = {
    "description": "KafkaV2[Subscribe[transactions]]",
    "startOffset": {"transactions": {"0": 100, "1": 90}},
    "endOffset": {"transactions": {"0": 150, "1": 120}},
    "latestOffset": {"transactions": {"0": 170, "1": 120}},
    "numInputRows": 80,
}
DELTA_SOURCE: dict[str, Any] = {
    "description": "DeltaSource[file:/lake/bronze/transactions]",
    "startOffset": {"sourceVersion": 1, "reservoirVersion": 4, "index": -1},
    "endOffset": '{"sourceVersion": 1, "reservoirId": "5f3c", "reservoirVersion": 5, "index": -1}',
    "latestOffset": None,
    "numInputRows": 80,
}
DOCUMENT: dict[str, Any] = {
    "id": "b5b0c1ab-0c4e-4a5e-9d2b-000000000000",
    "name": "alerts.decide",
    "timestamp": "2026-03-04T12:00:00.123Z",
    "batchId": 42,
    "numInputRows": 80,
    "inputRowsPerSecond": 20.0,
    "processedRowsPerSecond": 160.5,
    "durationMs": {"addBatch": 410, "latestOffset": 3, "triggerExecution": 498},
    "eventTime": {"watermark": "2026-03-03T12:00:00.000Z"},
    "stateOperators": [
        {"numRowsTotal": 10, "memoryUsedBytes": 2048, "numRowsDroppedByWatermark": 1},
        {"numRowsTotal": 5, "memoryUsedBytes": 1024, "customMetrics": {"numDroppedDuplicateRows": 3}},
    ],
    "sources": [KAFKA_SOURCE],
}


def test_batch_is_read_from_what_spark_says() -> None:
    progress = from_json(DOCUMENT)
    assert (progress.query, progress.batch_id, progress.input_rows) == ("alerts.decide", 42, 80)
    assert progress.at == datetime(2026, 3, 4, 12, 0, 0, 123_000, UTC)
    assert (progress.rows_per_second, progress.batch_ms, progress.lag_rows) == (160.5, 498.0, 20)
    assert progress.detail["state_rows"] == 15
    assert progress.detail["state_bytes"] == 3072
    assert progress.detail["dropped_by_watermark"] == 1
    assert progress.detail["duplicates"] == 3
    assert progress.detail["watermark"] == "2026-03-03T12:00:00.000Z"


def test_how_far_a_delta_table_was_read_is_told() -> None:
    assert from_json(DOCUMENT).detail["read"] == {}
    assert from_json(DOCUMENT | {"sources": [KAFKA_SOURCE, DELTA_SOURCE]}).detail["read"] == {"5f3c": 5}


def test_empty_batch_without_state_is_read_as_well() -> None:
    bare = {"name": "q", "batchId": 0, "timestamp": "2026-03-04T12:00:00Z", "processedRowsPerSecond": None}
    progress = from_json(bare)
    assert (progress.input_rows, progress.rows_per_second, progress.batch_ms, progress.lag_rows) == (0, 0.0, 0.0, None)


@pytest.mark.parametrize("as_text", [False, True], ids=["object", "text"])
def test_lag_is_what_kafka_holds_beyond_the_batch(as_text: bool) -> None:
    source = dict(KAFKA_SOURCE)
    if as_text:
        source |= {name: orjson.dumps(source[name]).decode() for name in ("endOffset", "latestOffset")}
    assert kafka_lag([source]) == 20


def test_partition_not_yet_read_counts_whole() -> None:
    assert kafka_lag([KAFKA_SOURCE | {"endOffset": {"transactions": {"0": 170}}}]) == 120


def test_delta_source_has_no_lag_in_rows() -> None:
    assert kafka_lag([DELTA_SOURCE]) is None
    assert kafka_lag([]) is None
    assert kafka_lag([DELTA_SOURCE, KAFKA_SOURCE]) == 20


FAILED_IN_PYTHON = """[FOREACH_BATCH_USER_FUNCTION_ERROR] An error occurred in the user provided function in foreach batch sink. Reason: Traceback (most recent call last):
  File "spark_jobs/alert_sink.py", line 66, in commit
    return self._write(batch, rows, payload)
psycopg.errors.InsufficientPrivilege: permission denied for table alerts
=== Streaming Query ===
Identifier: alerts.decide [id = 1, runId = 2]
org.apache.spark.NotTheCauseException: plan

JVM stacktrace:
org.apache.spark.sql.streaming.StreamingQueryException: again"""  # noqa: E501 - as Spark writes it

FENCED = "spark_jobs.lease.FencedError: stream 'alerts': taken\n\nJVM stacktrace:\nx.YError: no"

WAITED = "psycopg_pool.PoolTimeout: couldn't get a connection after 30.00 sec"

LOST = "org.apache.spark.sql.kafka010.KafkaIllegalStateException: Some data may have been lost because they are gone;"
FAILED_IN_JAVA_BELOW_PYTHON = f"""[FOREACH_BATCH_USER_FUNCTION_ERROR] An error occurred. Reason: Traceback (most recent call last):
  File "pyspark/sql/dataframe.py", line 1, in collect
py4j.protocol.Py4JJavaError: An error occurred while calling o295.collectToPython.
: {LOST}
\tat org.apache.spark.sql.kafka010.KafkaDataConsumer.fetch(KafkaDataConsumer.scala:1)
Caused by: org.apache.kafka.clients.consumer.OffsetOutOfRangeException: Fetch position 258 is out of range
=== Streaming Query ==="""  # noqa: E501 - as Spark writes it


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (FAILED_IN_JAVA_BELOW_PYTHON, LOST),
        (FAILED_IN_PYTHON, "psycopg.errors.InsufficientPrivilege: permission denied for table alerts"),
        (FENCED, FENCED.splitlines()[0]),
        (f"Proxy.\n{WAITED}\n=== Streaming Query ===", WAITED),
        ("[STREAM_FAILED] Query terminated\n=== Streaming Query ===\nplan", "[STREAM_FAILED] Query terminated"),
        ("", "no reason given"),
        ("  \n ", "no reason given"),
    ],
)
def test_cause_of_a_failure_is_one_line(message: str, cause: str) -> None:
    assert first_cause(message) == cause


def test_cause_is_kept_short() -> None:
    assert len(first_cause("ValueError: " + "x" * 5000)) == 1000

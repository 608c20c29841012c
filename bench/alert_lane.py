"""The alert lane alone: catch-up of a backlog, then live traffic; latency from Kafka to the visible alert row.

Latency is `detected_at - kafka_timestamp`, both of this machine's clock; the Kafka timestamp is the intended
sending time, so a generator that falls behind cannot hide waiting time. CPU is counted per batch and process.
"""

import os
import time
from dataclasses import dataclass, field

import psutil
import psycopg
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from bench.stack import servers
from bench.traffic import CUSTOMERS, flowing, send_past, world_of
from fraud_domain.settings import Settings
from medallion_services.generator.producer import KafkaSink
from spark_jobs import streaming_to_postgres

_LATENCY = """
SELECT count(*), percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (
    ORDER BY extract(epoch FROM detected_at - kafka_timestamp) * 1000)
FROM fraud.alerts WHERE kafka_timestamp > to_timestamp(%s)
"""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What to measure: rows of backlog, live rate per second, seconds of warm-up and of measurement."""

    backlog: int = 20_000
    rate: float = 50.0
    warm_up: float = 40.0
    seconds: float = 60.0


@dataclass(slots=True)
class Result:
    """Figures of one run; times in milliseconds."""

    load_average: float = field(default_factory=lambda: os.getloadavg()[0])
    backlog_rows_per_second: float = 0.0
    batches: int = 0
    batch_ms: float = 0.0
    jvm_cpu_ms_per_batch: float = 0.0
    worker_cpu_ms_per_batch: float = 0.0
    alerts: int = 0
    alert_p50_ms: float | None = None
    alert_p99_ms: float | None = None


def run(scenario: Scenario) -> Result:
    """One measurement on servers of its own."""
    with servers(alerts={"interval": "0 seconds"}) as settings:
        spark = SparkSession.builder.appName("bench").getOrCreate()
        spark.sparkContext.setLogLevel("ERROR")
        try:
            return _measure(spark, settings, scenario)
        finally:
            spark.stop()


def _measure(spark: SparkSession, settings: Settings, scenario: Scenario) -> Result:
    result = Result()
    with KafkaSink(settings) as sink:
        sent = send_past(sink, world_of(settings), scenario.backlog)
        started = time.monotonic()
        query, others = streaming_to_postgres.start(spark, settings, epoch(settings))
        while sum(p.numInputRows for p in query.recentProgress) < sent:
            time.sleep(0.2)
        result.backlog_rows_per_second = sent / (time.monotonic() - started)
        try:
            with flowing(settings, scenario.rate, CUSTOMERS, scenario.warm_up + scenario.seconds):
                time.sleep(scenario.warm_up)
                _watch(query, result, scenario.seconds)
                since = time.time() - scenario.seconds
        finally:
            query.stop()
            others.stop()
    with psycopg.connect(**settings.postgres_parameters("fraud_reader")) as connection:
        row = connection.execute(_LATENCY, (since,)).fetchone()
    if row and row[0]:
        result.alerts, (result.alert_p50_ms, result.alert_p99_ms) = row
    return result


def _watch(query: StreamingQuery, result: Result, seconds: float) -> None:
    first, before = _batch(query), used_cpu()
    time.sleep(seconds)
    result.batches = max(_batch(query) - first, 1)
    jvm, workers = (b - a for a, b in zip(before, used_cpu(), strict=True))
    result.batch_ms = seconds * 1000 / result.batches
    result.jvm_cpu_ms_per_batch = jvm * 1000 / result.batches
    result.worker_cpu_ms_per_batch = workers * 1000 / result.batches


def _batch(query: StreamingQuery) -> int:
    progress = query.lastProgress
    return progress.batchId if progress else 0


def used_cpu() -> tuple[float, float]:
    """CPU seconds of Spark's JVM and of its Python workers."""
    jvm = next(p for p in psutil.Process().children() if p.name() == "java" and "SparkSubmit" in " ".join(p.cmdline()))
    return _used(jvm), sum(_used(p) for p in jvm.children(recursive=True))


def _used(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system + times.children_user + times.children_system


def epoch(settings: Settings) -> int:
    """Take the lease of the alert lane."""
    with psycopg.connect(**settings.postgres_parameters("fraud_writer"), autocommit=True) as connection:
        row = connection.execute(
            "INSERT INTO fraud.stream_lease (stream, epoch, holder) VALUES ('alerts', 1, 'bench') RETURNING epoch"
        ).fetchone()
    return int(row[0]) if row else 0

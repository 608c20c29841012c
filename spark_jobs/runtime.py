"""The life of a Spark application that runs streams: lease, start, heartbeat, watch, clean stop.

Contract with whoever starts it: exit 0 = stopped as asked or (availableNow) finished, 1 = a query failed,
75 = another driver holds a stream. SIGTERM or SIGINT to this process stops the queries and then Spark. It
also stops when the supervisor named in MEDALLION_SUPERVISOR (pid:start time) is gone.
"""

import contextlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson
import psutil
import psycopg
from py4j.protocol import Py4JError
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from fraud_domain.settings import MissingSecretError, Settings
from spark_jobs.heartbeat import Heartbeat
from spark_jobs.lease import FencedError, Lease, StreamHeldError
from spark_jobs.progress import from_json, with_rows_after

Start = Callable[[SparkSession, Settings, int], list[StreamingQuery]]
"""Starts a stream's queries: (spark, settings, lease epoch)."""

EXIT_FAILED, EXIT_HELD = 1, 75
_JVM_GONE = (Py4JError, OSError)
"""What every call into a JVM that was killed ends with."""
SUPERVISOR_VARIABLE = "MEDALLION_SUPERVISOR"
_PRUNE_EVERY_SECONDS = 3600.0
_START_SECONDS = 600.0


def main(streams: Mapping[str, Start]) -> int:
    """Run streams until they are told to stop, finish or fail; returns the exit code."""
    settings = Settings()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    application = os.environ.get("MEDALLION_APPLICATION", "+".join(streams))
    try:
        database = settings.postgres_parameters("fraud_writer")
        with Lease(database, tuple(streams), f"{application}@{os.uname().nodename}:{os.getpid()}") as lease:
            heartbeat = Heartbeat(database, application, os.environ.get("MEDALLION_RUN_ID", ""), datetime.now(UTC))
            return _Application(settings, streams, lease, heartbeat, stop).run()
    except StreamHeldError as held:
        say(str(held))
        return EXIT_HELD
    except (MissingSecretError, psycopg.OperationalError) as error:
        say(f"cannot start: {error}")
        return EXIT_FAILED


def say(message: str) -> None:
    """One line on the log of the application."""
    print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {message}", file=sys.stderr, flush=True)  # noqa: T201


def supervisor_alive(word: str | None) -> bool:
    """Whether the process `pid:start time` still runs; without a supervisor there is nobody to miss.

    A dead process that nobody has reaped is gone, too: in a container without an init it may stay for ever.
    """
    if not word:
        return True
    pid, started = word.split(":", 1)
    try:
        process = psutil.Process(int(pid))
        same = abs(process.create_time() - float(started)) < 1.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass(slots=True)
class _Application:
    settings: Settings
    streams: Mapping[str, Start]
    lease: Lease
    heartbeat: Heartbeat
    stop: threading.Event
    _queries: dict[str, list[StreamingQuery]] = field(default_factory=dict)
    _seen: dict[str, int] = field(default_factory=dict)

    def run(self) -> int:
        for stream in self.streams:
            self.heartbeat.beat(stream, "starting")
            self.heartbeat.prune(stream)
        started = threading.Event()
        beating = threading.Thread(target=self._beat_while_starting, args=(started,), daemon=True)
        beating.start()

        def on_started() -> None:
            started.set()
            beating.join()

        spark = SparkSession.builder.appName(f"medallion-{self.heartbeat.application}").getOrCreate()
        spark.sparkContext.setLogLevel("WARN")
        try:
            return self._run(spark, on_started)
        finally:
            started.set()
            with contextlib.suppress(*_JVM_GONE):
                spark.stop()

    def _beat_while_starting(self, started: threading.Event) -> None:
        """A slow start is not a dead one; one that takes longer than this is."""
        give_up = time.monotonic() + _START_SECONDS
        while not started.wait(self.settings.streams.heartbeat_seconds) and time.monotonic() < give_up:
            for stream in self.streams:
                with contextlib.suppress(psycopg.OperationalError):
                    self.heartbeat.beat(stream, "starting")

    def _run(self, spark: SparkSession, on_started: Callable[[], None]) -> int:
        failure = ""
        try:
            for stream, start in self.streams.items():
                self._queries[stream] = start(spark, self.settings, self.lease.epochs[stream])
                say(f"stream {stream} started: {', '.join(q.name for q in self._queries[stream])}")
            on_started()
            failure = self._watch()
        except FencedError as fenced:
            failure = str(fenced)
        except _JVM_GONE as error:
            failure = f"Spark's JVM is gone: {type(error).__name__}"
        except Exception as error:
            failure = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            raise
        finally:
            on_started()
            self._stop_queries()
            state = "failed" if failure else "stopped"
            for stream in self.streams:
                # A database that is away must not hide why the streams ended.
                with contextlib.suppress(psycopg.OperationalError):
                    self.heartbeat.beat(stream, state, detail=failure)
        if failure:
            say(failure)
        return EXIT_FAILED if failure else 0

    def _watch(self) -> str:
        """Beat until stopped; returns why the application failed, or nothing."""
        pruned = time.monotonic()
        while True:
            stopping = self.stop.wait(self.settings.streams.heartbeat_seconds)
            if not supervisor_alive(os.environ.get(SUPERVISOR_VARIABLE)):
                return "the supervisor is gone: stopping, so that its successor finds no second writer"
            active = False
            for stream, queries in self._queries.items():
                for query in queries:
                    if failure := _failure(query):
                        return f"stream {stream}, query {query.name}: {failure}"
                    active = active or query.isActive
            self._report()
            if stopping or not active:
                return ""
            if time.monotonic() - pruned > _PRUNE_EVERY_SECONDS:
                pruned = time.monotonic()
                for stream in self.streams:
                    self.heartbeat.prune(stream)

    def _report(self) -> None:
        """Heartbeat and progress; a database that is away costs reports, never the stream."""
        try:
            self.lease.renew()
            for stream, queries in self._queries.items():
                newest, begun = -1, True
                for query in queries:
                    reported = [from_json(orjson.loads(p.json)) for p in query.recentProgress]
                    begun = begun and (bool(reported) or _waits(query))
                    fresh = with_rows_after(self._seen.get(query.name, -1), reported)
                    self.heartbeat.record(stream, fresh)
                    if fresh:
                        self._seen[query.name] = fresh[-1].batch_id
                    newest = max(newest, self._seen.get(query.name, -1))
                generation = queries[0].id if queries else ""
                state = "running" if begun else "starting"
                self.heartbeat.beat(stream, state, generation, newest if newest >= 0 else None)
        except psycopg.OperationalError as error:
            say(f"heartbeat not written: {str(error).splitlines()[0]}")

    def _stop_queries(self) -> None:
        for queries in self._queries.values():
            for query in queries:
                with contextlib.suppress(*_JVM_GONE):
                    query.stop()


def _waits(query: StreamingQuery) -> bool:
    """Whether a trigger of the query is over and had nothing to report."""
    return str(query.status["message"]).startswith("Waiting")


def _failure(query: StreamingQuery) -> str:
    error = None if query.isActive else query.exception()
    return "" if error is None else first_cause(str(error))


def first_cause(message: str) -> str:
    """The line that names the cause in what Spark says of a failed query, without stack traces and plans."""
    report = message.split("\n\nJVM stacktrace")[0].split("=== Streaming Query ===")[0]
    # Py4J puts what Java raised on a line of its own, after a colon.
    lines = [line.removeprefix(": ") for line in report.splitlines()]
    raised = [
        line for line in lines if re.match(r"[A-Za-z_][\w.]*(Error|Exception)\b|[a-z_]\w*(\.\w+)*\.[A-Z]\w+:", line)
    ]
    return (raised[-1] if raised else report.strip().splitlines()[0] if report.strip() else "no reason given")[:1000]

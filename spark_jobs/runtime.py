"""The life of a process that runs streams, on whatever engine: lease, start, heartbeat, watch, clean stop.

Contract with whoever starts it: exit 0 = stopped as asked or (availableNow) finished, 1 = a query failed,
75 = another driver holds a stream. SIGTERM or SIGINT to this process stops the queries and then the engine.
It also stops when the supervisor named in MEDALLION_SUPERVISOR (pid:start time) is gone.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import psutil
import psycopg

from fraud_domain.log_lines import log_line
from fraud_domain.settings import MissingSecretError, Settings
from spark_jobs.heartbeat import Heartbeat
from spark_jobs.lease import FencedError, Lease, StreamHeldError
from spark_jobs.plain_error import PlainError, reason_of
from spark_jobs.progress import Progress

EXIT_FAILED, EXIT_HELD = 1, 75
SUPERVISOR_VARIABLE = "MEDALLION_SUPERVISOR"
_PRUNE_EVERY_SECONDS = 3600.0
_START_SECONDS = 600.0


class EngineGoneError(RuntimeError):
    """What runs the queries was killed; the message names it."""


class Query(Protocol):
    """A running query of a stream. Every method may raise `EngineGoneError`, but `stop`."""

    @property
    def name(self) -> str:
        """`stream.query`."""

    @property
    def generation(self) -> str:
        """Of its checkpoint."""

    def is_active(self) -> bool:
        """Whether it still runs."""

    def failure(self) -> str:
        """Why it ended; nothing when it runs or ended as it should."""

    def reported(self, after: datetime | None) -> Sequence[Progress]:
        """Its batches that began after a time, as far as it remembers them, the oldest first.

        One that finds nothing to do may say so, under the number of the batch that comes next.
        """

    def waits(self) -> bool:
        """Whether it has looked at its source and found nothing to do."""

    def stop(self) -> None:
        """End it, between two batches if possible."""


Launch = Callable[[str, Settings, int], Sequence[Query]]
"""Starts a stream's queries: (stream, settings, lease epoch)."""
Engine = Callable[[str], AbstractContextManager[Launch]]
"""What the queries of the application of that name run on, for the length of a block."""


def main(streams: Sequence[str], engine: Engine) -> int:
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
            return _Application(settings, tuple(streams), engine, lease, heartbeat, stop).run()
    except StreamHeldError as held:
        say(str(held))
        return EXIT_HELD
    except (MissingSecretError, psycopg.OperationalError) as error:
        say(f"cannot start: {error}")
        return EXIT_FAILED


def say(message: str) -> None:
    """One line on the log of the application."""
    print(log_line(datetime.now(UTC), message), file=sys.stderr, flush=True)  # noqa: T201


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
    streams: tuple[str, ...]
    engine: Engine
    lease: Lease
    heartbeat: Heartbeat
    stop: threading.Event
    _queries: dict[str, Sequence[Query]] = field(default_factory=dict)
    _told: dict[str, datetime] = field(default_factory=dict)
    _done: dict[str, int] = field(default_factory=dict)

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

        try:
            with self.engine(self.heartbeat.application) as launch:
                return self._run(launch, on_started)
        except Exception as error:
            if not self._stopped_while_starting():
                raise
            # Whatever the signal ended of what was just starting.
            say(f"stopped while starting ({type(error).__name__})")
            on_started()
            self._beat("stopped")
            return 0
        finally:
            started.set()

    def _stopped_while_starting(self) -> bool:
        return self.stop.is_set() and len(self._queries) < len(self.streams)

    def _beat_while_starting(self, started: threading.Event) -> None:
        """A slow start is not a dead one; one that takes longer than this is."""
        give_up = time.monotonic() + _START_SECONDS
        while not started.wait(self.settings.streams.heartbeat_seconds) and time.monotonic() < give_up:
            for stream in self.streams:
                with contextlib.suppress(psycopg.OperationalError):
                    self.heartbeat.beat(stream, "starting")

    def _run(self, launch: Launch, on_started: Callable[[], None]) -> int:
        failure = ""
        try:
            for stream in self.streams:
                self._queries[stream] = launch(stream, self.settings, self.lease.epochs[stream])
                say(f"stream {stream} started: {', '.join(q.name for q in self._queries[stream])}")
            on_started()
            failure = self._watch()
        except FencedError as fenced:
            failure = str(fenced)
        except EngineGoneError as gone:
            failure = str(gone)
        except PlainError as plain:
            failure = reason_of(plain)
        except Exception as error:
            failure = "" if self._stopped_while_starting() else reason_of(error)
            raise
        finally:
            on_started()
            self._stop_queries()
            self._beat("failed" if failure else "stopped", failure)
        if failure:
            say(failure)
        return EXIT_FAILED if failure else 0

    def _beat(self, state: str, detail: str = "") -> None:
        """A last word; a database that is away must not hide why the streams ended."""
        for stream in self.streams:
            with contextlib.suppress(psycopg.OperationalError):
                self.heartbeat.beat(stream, state, detail=detail)

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
                    if failure := query.failure():
                        return f"stream {stream}, query {query.name}: {failure}"
                    active = active or query.is_active()
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
                    reported = query.reported(self._told.get(query.name))
                    filled = [progress for progress in reported if progress.input_rows]
                    self.heartbeat.record(stream, filled)
                    if reported:
                        self._told[query.name] = reported[-1].at
                    begun = begun and (query.name in self._told or query.waits())
                    if filled:
                        self._done[query.name] = filled[-1].batch_id
                    newest = max(newest, self._done.get(query.name, -1))
                generation = queries[0].generation if queries else ""
                state = "running" if begun else "starting"
                self.heartbeat.beat(stream, state, generation, newest if newest >= 0 else None)
        except psycopg.OperationalError as error:
            say(f"heartbeat not written: {str(error).splitlines()[0]}")

    def _stop_queries(self) -> None:
        for queries in self._queries.values():
            for query in queries:
                query.stop()

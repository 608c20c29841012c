"""The life of the direct lane: read, judge, keep, tell."""

import sqlite3
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import psycopg
from psycopg_pool import ConnectionPool

from fraud_domain.micro_batch import Batch
from spark_jobs.alert_sink import AlertSink
from spark_jobs.decision_log import DecisionLog
from spark_jobs.direct.judge import Judge
from spark_jobs.direct.memory import Memory
from spark_jobs.direct.message import Message
from spark_jobs.direct.pace import Pace
from spark_jobs.direct.source import Source
from spark_jobs.direct.store import Store
from spark_jobs.failpoints import Failpoint, reached
from spark_jobs.plain_error import PlainError, reason_of
from spark_jobs.progress import Progress
from spark_jobs.published_rules import (
    LOOK_EVERY_SECONDS,
    LOOK_PATIENCE_SECONDS,
    RuleSet,
    newer,
    record_boundary,
    require_newest,
    texts_of,
)
from spark_jobs.rebase import Rebase
from spark_jobs.runtime import say
from spark_jobs.telling import Judged, tell

QUERY = "alerts.decide"
"""Its name in the ledger, in `stream_progress` and in `rule_boundaries`: it decides about everybody."""
_WAIT_SECONDS = 0.2
_FIGURES_EVERY_SECONDS = 1.0
"""Batches may be a thousand a minute."""
_STOP_SECONDS = 30.0
Pool = ConnectionPool[psycopg.Connection[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Covered:
    """What was decided before this generation began, and is only remembered: about customers, and about others."""

    customers: Rebase | None
    others: Rebase | None

    def covers(self, judged: Judged) -> bool:
        """Whether a decision was made before."""
        if self.customers is None and self.others is None:
            return False
        decision = orjson.loads(judged.decision)
        rebase = self.customers if decision["subject_kind"] == "customer" else self.others
        return rebase is not None and rebase.covers(decision["topic"], decision["partition"], decision["offset"])


@dataclass(slots=True)
class Rules:
    """The rule set in force, and what was published since."""

    pool: Pool
    store: Store
    memory: Memory
    _looked: float = 0.0

    def open(self) -> RuleSet:
        """The rule set of the next batch; the newest one when there was none yet.

        Raises:
            NoRuleSetError: nothing was ever published.
        """
        _, version = self.store.rules
        with self.pool.connection() as connection:
            if not version:
                activation, version = require_newest(connection)
                self.store.take_up((activation, version), self.memory.all())
                record_boundary(connection, QUERY, self.store.generation, 0, activation)
            return RuleSet(version, tuple(texts_of(connection, version).items()))

    def published_since(self) -> RuleSet | None:
        """Rules for the next batch, noted in database and store; a database that is away delays them."""
        if time.monotonic() - self._looked < LOOK_EVERY_SECONDS:
            return None
        self._looked = time.monotonic()
        try:
            with self.pool.connection(LOOK_PATIENCE_SECONDS) as connection:
                published = newer(connection, self.store.rules[0])
                if published is None:
                    return None
                activation, version = published
                texts = texts_of(connection, version)
                record_boundary(connection, QUERY, self.store.generation, self.store.batch_id + 1, activation)
        except psycopg.OperationalError:
            return None
        reached(Failpoint.AFTER_RULES_RECORDED)
        self.store.take_up((activation, version), self.memory.all())
        return RuleSet(version, tuple(texts.items()))


@dataclass(slots=True)
class Figures:
    """Batches put together to one row of `stream_progress` a second."""

    clock: Callable[[], float] = time.monotonic
    _since: float = 0.0
    _rows: int = 0
    _longest: float = 0.0
    _busy: float = 0.0
    kept: deque[Progress] = field(default_factory=lambda: deque(maxlen=100))

    def add(self, rows: int, seconds: float) -> None:
        """A batch is done."""
        self._rows += rows
        self._busy += seconds
        self._longest = max(self._longest, seconds)

    def tell(self, batch_id: int, lag: Callable[[], int | None], at_once: bool = False) -> None:
        """Put what came since the last row into one, if a second has passed; `batch_ms` is the longest batch."""
        now = self.clock()
        if not self._rows or (now - self._since < _FIGURES_EVERY_SECONDS and not at_once):
            return
        rate = self._rows / self._busy if self._busy else 0.0
        row = Progress(QUERY, batch_id, datetime.now(UTC), self._rows, rate, self._longest * 1000, lag(), {})
        self.kept.append(row)
        self._since, self._rows, self._longest, self._busy = now, 0, 0.0, 0.0


@dataclass(slots=True)
class DirectLane:
    """The lane as `runtime.Query`, on a thread of its own."""

    source: Source
    judge: Judge
    memory: Memory
    store: Store
    sink: AlertSink
    log: DecisionLog
    rules: Rules
    covered: Covered
    most: int
    """Messages of a batch."""
    held: ExitStack = field(default_factory=ExitStack)
    """What to let go of at the end."""
    name: str = QUERY
    _figures: Figures = field(default_factory=Figures)
    _pace: Pace = field(default_factory=Pace)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _waited: bool = False
    _untold: bool = False
    _failure: str = ""
    _thread: threading.Thread | None = None

    @property
    def generation(self) -> str:
        """The id of the store."""
        return self.store.generation

    def start(self) -> "DirectLane":
        """Begin to judge."""
        self._thread = threading.Thread(target=self._run, name=QUERY, daemon=True)
        self._thread.start()
        threading.Thread(target=self._keep_log_small, name=f"{QUERY} log", daemon=True).start()
        return self

    def is_active(self) -> bool:
        """Whether it still runs."""
        return self._thread is not None and self._thread.is_alive()

    def failure(self) -> str:
        """Why it ended; nothing when it runs or ended as it should."""
        return self._failure

    def reported(self, after: datetime | None) -> Sequence[Progress]:
        """Its last figures."""
        return [progress for progress in list(self._figures.kept) if after is None or progress.at > after]

    def waits(self) -> bool:
        """Whether it has looked at its source and found nothing to do."""
        return self._waited

    def stop(self) -> None:
        """End it after the batch it is at."""
        self._stopping.set()
        self.join(_STOP_SECONDS)

    def join(self, seconds: float | None = None) -> None:
        """Wait until it has ended."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._tell(self.store.untold())
            while not self._stopping.is_set() and not self.source.finished:
                if pause := self._pace.pause():
                    self._stopping.wait(pause)
                messages = self.source.read(self.most, _WAIT_SECONDS)
                if messages:
                    self._pace.begins(len(messages))
                    self._batch(messages)
                else:
                    self._rest()
            self._rest(for_good=True)
        except Exception as error:
            if not isinstance(error, PlainError):
                say(traceback.format_exc())
            self._failure = reason_of(error)
        finally:
            self.held.close()

    def _keep_log_small(self) -> None:
        while self.is_active() and not self._stopping.wait(_FIGURES_EVERY_SECONDS):
            try:
                self.store.copy_back()
            except sqlite3.OperationalError as error:
                # The lane meets the same, and ends by it, if it lasts.
                say(f"{QUERY}: the log of its state was not copied back: {error}")

    def _batch(self, messages: list[Message]) -> None:
        started = time.monotonic()
        self.memory.begin(self.store.batch_id + 1)
        with self.store.reading():
            judged = [each for each in self.judge.judge(messages) if not self.covered.covers(each)]
        reached(Failpoint.BEFORE_HISTORIES)
        self.store.commit(messages, self.memory.due(len(messages)), judged)
        reached(Failpoint.AFTER_HISTORIES)
        self._tell(judged)
        self._figures.add(len(messages), time.monotonic() - started)
        self._figures.tell(self.store.batch_id, self.source.lag)
        if rules := self.rules.published_since():
            self.judge.take_up(rules)

    def _tell(self, judged: list[Judged]) -> None:
        """Tell of the last batch."""
        if judged:
            tell(self.sink, self.log, Batch(QUERY, self.store.generation, self.store.batch_id), judged)
        self._untold = bool(judged)

    def _rest(self, for_good: bool = False) -> None:
        """Nothing to do: note that all was told, store what is due, and tell the figures that are due."""
        if self._untold:
            self.store.told()
            self._untold = False
        due = self.memory.all() if for_good else self.memory.due()
        if due.histories:
            self.store.keep(due)
        self._figures.tell(self.store.batch_id, self.source.lag, at_once=for_good)
        self._waited = True

"""What the direct lane remembers: histories, positions in Kafka and the last batch's decisions, in one SQLite file.

A batch is one transaction: its messages, where it stands in Kafka, and what is still to be told to others. So a batch
is decided once. A crash before it leaves nothing of it; after it, the next driver tells what is there, under the number
that the batch had, and the ledger in PostgreSQL takes it once.

Histories follow some seconds later, each with the number of the last batch that it has. Messages stay until every
history has them; the next driver judges them again, tells nobody, and leaves alone the histories that have them.
"""

import sqlite3
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fraud_domain.streams import DIRECT_STATE
from spark_jobs.direct import store_format
from spark_jobs.direct.message import Message
from spark_jobs.lease import FencedError
from spark_jobs.plain_error import PlainError
from spark_jobs.telling import Judged

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    # A committed batch outlives a power cut: others may have been told of it.
    "PRAGMA synchronous = FULL",
    # `copy_back` does it, beside the batches; this is for when it cannot keep up.
    "PRAGMA wal_autocheckpoint = 131072",
    # Empty the log when all of it is copied, so that its size tells what is not.
    "PRAGMA journal_size_limit = 0",
    "PRAGMA cache_size = -65536",
    "PRAGMA busy_timeout = 20000",
)
_LOG_BYTES = 16_000_000
"""Histories are written again and again: copying them from the log seldom costs half as much as copying them often."""
_COPIES = 2
_NAMES_AT_ONCE = 100
"""Looked for by one statement, which SQLite keeps compiled."""
Positions = Mapping[tuple[str, int], int]
"""The next offset to read, by topic and partition."""


class StoreError(PlainError):
    """The file cannot serve; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A stored history; `id` is its row, `as_of` the last batch that it has."""

    id: int
    history: bytes
    as_of: int


@dataclass(frozen=True, slots=True)
class Due:
    """Histories to be stored: row, kind, name, history, last batch; and the first batch that others still lack."""

    histories: Sequence[tuple[int, str, str, bytes, int]] = ()
    needed_from: int = 0


class Store:
    """The file of one lane, for one driver at a time: an older driver that wakes up is refused."""

    def __init__(self, folder: Path, epoch: int) -> None:
        """Open the file in `folder`, or begin it.

        Raises:
            StoreError: there is the checkpoint of another lane, a file of another format, or a damaged one.
            FencedError: a younger driver has it.
        """
        if (folder / "metadata").exists():
            raise StoreError(
                f"{folder} is a checkpoint of Spark's, which the direct lane cannot read: run `medallion checkpoint"
                " rebase alerts.decide` to begin anew without doubles; see docs/runbook/lost-checkpoint.md"
            )
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / DIRECT_STATE
        self._epoch = epoch
        self._writing = threading.Lock()
        self._connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, cached_statements=2 * _NAMES_AT_ONCE
        )
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            self.close()
            raise self._damaged(error) from error
        except (StoreError, FencedError):
            self.close()
            raise

    def _open(self) -> None:
        for pragma in _PRAGMAS:
            self._connection.execute(pragma)
        if self._one("SELECT count(*) FROM sqlite_master WHERE name = 'lane'") == 0:
            self._begin()
        with self._transaction():
            store_format.upgrade(self._connection)
            if (found := self._one("SELECT format FROM lane")) != (known := store_format.FORMAT):
                raise StoreError(
                    f"{self.path} has format {found}, this release reads {known}: start the release it is of"
                )
            self._connection.execute("UPDATE lane SET epoch = ?", (self._epoch,))
        self.generation: str = self._one("SELECT generation FROM lane")
        self.batch_id: int = self._one("SELECT batch_id FROM lane")
        self._next_id: int = self._one("SELECT coalesce(max(id), 0) FROM subject") + 1

    def _begin(self) -> None:
        self._connection.executescript(
            f"BEGIN IMMEDIATE; {store_format.SCHEMA} INSERT INTO lane VALUES"  # noqa: S608 - values of our own
            f" ({store_format.FORMAT}, '{uuid.uuid4()}', 0, -1, 0, '', 0); COMMIT;"
        )

    @property
    def begun(self) -> bool:
        """Whether it holds what the lane begins with; until then it may be filled."""
        return bool(self._one("SELECT begun FROM lane"))

    @property
    def rules(self) -> tuple[int, str]:
        """Activation and version of the rule set of the next batch; (0, "") when none was taken up yet."""
        row = self._connection.execute("SELECT activation, rules FROM lane").fetchone()
        return int(row[0]), str(row[1])

    def positions(self) -> dict[tuple[str, int], int]:
        """Where to read on."""
        found = self._connection.execute("SELECT topic, partition, next FROM position")
        return {(topic, partition): following for topic, partition, following in found}

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One view of the file for all that is found in it, which takes half the time of a view for each."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("COMMIT")

    def find(self, kind: str, names: Sequence[str]) -> dict[str, Kept]:
        """Histories of subjects of one kind, by name, of those that have one."""
        found = {}
        for first in range(0, len(names), _NAMES_AT_ONCE):
            some = names[first : first + _NAMES_AT_ONCE]
            marks = ", ".join("?" * len(some))
            query = f"SELECT name, id, history, as_of FROM subject WHERE kind = ? AND name IN ({marks})"  # noqa: S608
            for name, *kept in self._connection.execute(query, (kind, *some)):
                found[name] = Kept(*kept)
        return found

    def subjects(self) -> Iterator[tuple[str, str, bytes]]:
        """Kind, name and history of all."""
        yield from self._connection.execute("SELECT kind, name, history FROM subject ORDER BY kind, name")

    def new_id(self) -> int:
        """A row for a subject that has none."""
        self._next_id += 1
        return self._next_id - 1

    def begin(self) -> None:
        """Note that what the lane begins with is complete."""
        with self._transaction():
            self._connection.execute("UPDATE lane SET begun = 1")

    def forget(self) -> None:
        """Empty it: what a lane begins with was not filled in to the end."""
        with self._transaction():
            self._connection.execute("DELETE FROM subject")

    def take_up(self, rules: tuple[int, str], due: Due) -> None:
        """Another rule set judges from the next batch on; `due` is all, since the old one judged it."""
        with self._transaction():
            self._connection.execute("UPDATE lane SET activation = ?, rules = ?", rules)
            self._keep(due)

    def keep(self, due: Due) -> None:
        """Store histories between two batches."""
        with self._transaction():
            self._keep(due)

    def commit(self, messages: Sequence[Message], due: Due, judged: Sequence[Judged]) -> int:
        """Keep a batch; returns its number.

        Raises:
            FencedError: a younger driver has the file.
            sqlite3.Error: it is not kept; this driver's memory is worth nothing any more.
        """
        batch_id = self.batch_id + 1
        positions: dict[tuple[str, int], int] = {}
        for message in messages:
            place = (message.topic, message.partition)
            positions[place] = max(positions.get(place, 0), message.offset + 1)
        with self._transaction():
            store_format.keep_messages(self._connection, batch_id, messages)
            self._keep(due)
            self._connection.executemany(
                "INSERT INTO position VALUES (?, ?, ?)"
                " ON CONFLICT (topic, partition) DO UPDATE SET next = excluded.next",
                [(topic, partition, following) for (topic, partition), following in positions.items()],
            )
            store_format.keep_untold(self._connection, judged)
            self._connection.execute("UPDATE lane SET batch_id = ?", (batch_id,))
        self.batch_id = batch_id
        return batch_id

    def batches(self) -> Iterator[tuple[int, list[Message]]]:
        """The batches that not every history has, with their messages."""
        try:
            yield from store_format.batches(self._connection)
        except ValueError as error:
            raise self._damaged(error) from error

    def untold(self) -> list[Judged]:
        """What the last batch decided, if nobody noted that all of it was told."""
        try:
            return store_format.untold(self._connection)
        except ValueError as error:
            raise self._damaged(error) from error

    def told(self) -> None:
        """Note that all of the last batch was told. Without it, it is told again: alerts once, decisions twice."""
        with self._transaction():
            store_format.keep_untold(self._connection, ())

    def copy_back(self) -> None:
        """Copy a grown log into the file, from another thread than the one that writes.

        That one waits for the last copy only, of what was written during those before it. Without that wait it would
        never find all of the log copied, which it must to begin it anew.
        """
        log = self.path.with_name(f"{self.path.name}-wal")
        if not log.exists() or log.stat().st_size < _LOG_BYTES:
            return
        with closing(sqlite3.connect(self.path)) as connection:
            for _ in range(_COPIES):
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            with self._writing:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _keep(self, due: Due) -> None:
        self._connection.executemany(
            "INSERT INTO subject (id, kind, name, history, as_of) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET history = excluded.history, as_of = excluded.as_of",
            due.histories,
        )
        store_format.drop_messages(self._connection, due.needed_from)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._writing:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                holder = self._one("SELECT epoch FROM lane")
                if holder > self._epoch:
                    raise FencedError(f"this driver holds epoch {self._epoch}, {self.path} is held with epoch {holder}")
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _damaged(self, error: Exception) -> StoreError:
        return StoreError(
            f"the checkpoint {self.path} is damaged ({error}): run `medallion checkpoint rebase alerts.decide`;"
            " see docs/runbook/lost-checkpoint.md"
        )

    def _one(self, query: str) -> Any:
        return self._connection.execute(query).fetchone()[0]

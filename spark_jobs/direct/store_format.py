"""The tables of the direct lane's file, what is packed in them, and how a file of an earlier release is read."""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby

from spark_jobs.direct.message import Message
from spark_jobs.direct.packed import Packed
from spark_jobs.telling import Judged

FORMAT = 3
_BATCH_SHIFT = 32
"""A value's place is its batch's number, then its own in the batch."""
_MESSAGES, _DECISIONS = Packed(Message), Packed(Judged)
_KEPT = """
CREATE TABLE lane (
    format INTEGER NOT NULL, generation TEXT NOT NULL, epoch INTEGER NOT NULL, batch_id INTEGER NOT NULL,
    activation INTEGER NOT NULL, rules TEXT NOT NULL, begun INTEGER NOT NULL
);
CREATE TABLE position (topic TEXT, partition INTEGER, next INTEGER NOT NULL, PRIMARY KEY (topic, partition));
CREATE TABLE subject (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, history BLOB NOT NULL,
    as_of INTEGER NOT NULL DEFAULT -1, UNIQUE (kind, name)
);
"""
_BATCHES = (
    "CREATE TABLE messages (place INTEGER PRIMARY KEY, packed BLOB NOT NULL)",
    "CREATE TABLE decisions (place INTEGER PRIMARY KEY, packed BLOB NOT NULL)",
)
SCHEMA = _KEPT + ";".join((*_BATCHES, ""))


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring a file of format 1 or 2, which had a row for each message and decision, to the present one."""
    (found,) = connection.execute("SELECT format FROM lane").fetchone()
    if found not in (1, 2):
        return
    messages = []
    if found == 1:
        # Every history was as of its last batch.
        connection.execute("ALTER TABLE subject ADD COLUMN as_of INTEGER NOT NULL DEFAULT -1")
    else:
        messages = connection.execute(
            'SELECT place, topic, partition, "offset", at, value FROM message ORDER BY place'
        ).fetchall()
        connection.execute("DROP TABLE message")
    untold = connection.execute("SELECT customer_id, alert, decision FROM untold ORDER BY place").fetchall()
    for change in ("DROP TABLE untold", *_BATCHES):
        connection.execute(change)
    connection.execute("UPDATE lane SET format = ?", (FORMAT,))
    for batch_id, rows in groupby(messages, key=lambda row: row[0] >> _BATCH_SHIFT):
        keep_messages(connection, batch_id, [Message(*row[1:]) for row in rows])
    keep_untold(connection, [Judged(customer_id, bool(alert), decision) for customer_id, alert, decision in untold])


def keep_messages(connection: sqlite3.Connection, batch_id: int, messages: Sequence[Message]) -> None:
    """Add the messages of a batch."""
    values = enumerate(_MESSAGES.values(messages), batch_id << _BATCH_SHIFT)
    connection.executemany("INSERT INTO messages VALUES (?, ?)", values)


def drop_messages(connection: sqlite3.Connection, before: int) -> None:
    """Remove the messages of all batches before one."""
    connection.execute("DELETE FROM messages WHERE place < ?", (before << _BATCH_SHIFT,))


def batches(connection: sqlite3.Connection) -> Iterator[tuple[int, list[Message]]]:
    """The batches that are there, with their messages."""
    found = connection.execute("SELECT place, packed FROM messages ORDER BY place")
    for batch_id, values in groupby(found, key=lambda value: value[0] >> _BATCH_SHIFT):
        yield batch_id, [message for _, packed in values for message in _MESSAGES.rows(packed)]


def keep_untold(connection: sqlite3.Connection, judged: Sequence[Judged]) -> None:
    """Have these decisions to be told, and no others."""
    connection.execute("DELETE FROM decisions")
    connection.executemany("INSERT INTO decisions VALUES (?, ?)", enumerate(_DECISIONS.values(judged)))


def untold(connection: sqlite3.Connection) -> list[Judged]:
    """The decisions that are to be told."""
    found = connection.execute("SELECT packed FROM decisions ORDER BY place")
    return [judged for (packed,) in found for judged in _DECISIONS.rows(packed)]

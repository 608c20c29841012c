"""The messages of a file in the order in which they are sent, sorted on disk so that memory does not grow."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from fraud_domain.cards import TokenKey
from fraud_domain.rules.durations import HOUR
from fraud_domain.topics import FRAUD_LABELS, TRANSACTIONS
from medallion_services.errors import UserError
from medallion_services.mapping.judging import Accepted, delay_us, label_message
from medallion_services.mapping.opening import OpenFile
from medallion_services.mapping.reading import Refuse
from medallion_services.mapping.refusal import Refusal
from medallion_services.mapping.streaming import stream

AHEAD_LIMIT = HOUR
"""The broker refuses a timestamp that is further ahead of its clock."""
_BLOCK = 10_000
_TRANSACTION, _LABEL = 0, 1
_SCHEMA = pa.schema(
    [
        ("due", pa.int64()),
        ("kind", pa.int8()),
        ("line", pa.int64()),
        ("moment", pa.int64()),
        ("key", pa.string()),
        ("value", pa.binary()),
    ]
)
_ORDER = "ORDER BY due, kind, line"


@dataclass(frozen=True, slots=True)
class Spooled:
    """Messages waiting to be sent: `first` and `last` event times in epoch microseconds."""

    path: Path
    transactions: int
    labels: int
    labels_not_due: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message; `moment` is its own time in epoch microseconds."""

    topic: str
    key: str
    value: bytes
    moment: int


def spool(
    file: OpenFile, path: Path, token_key: Callable[[], TokenKey], refuse: Refuse, as_of: int, shifted: bool
) -> Spooled:
    """Write every message of a file to `path`.

    Args:
        as_of: epoch microseconds; what lies further ahead than the broker takes is refused, and a label that
            is known only later is left out. A replay that is `shifted` to the present has no such rows.
    """
    labels = file.mapping.file.labels
    delay, by_file = delay_us(labels), file.mapping.file.order_by == "file"
    transactions = told = waiting = 0
    first, last, clock = 2**62, -(2**62), -(2**62)

    def messages() -> Iterator[tuple[Any, ...]]:
        nonlocal transactions, told, waiting, first, last, clock
        for row in file.accepted(token_key, refuse):
            moment = row.event["event_time"]
            if not shifted and moment > as_of + AHEAD_LIMIT:
                refuse(Refusal(row.line, "TIME_IN_FUTURE", "event_time", str(moment // 1_000_000)))
                continue
            transactions += 1
            first, last = min(first, moment), max(last, moment)
            clock = max(clock, moment) if by_file else moment
            yield clock, _TRANSACTION, row.line, moment, row.event["customer_id"], row.value
            if labels and row.label is not None:
                if not shifted and moment + delay > as_of:
                    waiting += 1
                    continue
                told += 1
                yield clock + delay, _LABEL, row.line, moment + delay, row.event["transaction_id"], _told(row, labels)

    with pq.ParquetWriter(path, _SCHEMA, compression="lz4") as writer:
        block: list[tuple[Any, ...]] = []
        for message in messages():
            block.append(message)
            if len(block) == _BLOCK:
                _write(writer, block)
        _write(writer, block)
    return Spooled(path, transactions, told, waiting, first, last)


def _told(row: Accepted, labels: Any) -> bytes:
    if row.label is None:
        raise ValueError("no label")
    return label_message(row.event, row.label, labels.source, row.event["event_time"] + delay_us(labels))


def _write(writer: pq.ParquetWriter, block: list[tuple[Any, ...]]) -> None:
    if block:
        arrays = [pa.array(column, kind) for column, kind in zip(zip(*block, strict=True), _SCHEMA.types, strict=True)]
        writer.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA))
        block.clear()


class Queue:
    """The spooled messages in sending order, up to the last one that may be sent."""

    def __init__(self, spooled: Spooled, directory: Path, limit: int | None, until: int | None) -> None:
        """`limit`: only so many transactions, and their labels. `until`: no message after this moment (us)."""
        self._connection = duckdb.connect(
            config={
                "threads": 2,
                "memory_limit": "256MB",
                "temp_directory": str(directory),
            }
        )
        self._connection.read_parquet(str(spooled.path)).create_view("spooled")
        wanted = "SELECT line FROM spooled WHERE kind = 0 ORDER BY due, line LIMIT $limit"
        self._where = "(moment <= $until OR kind = 0)" + (f" AND line IN ({wanted})" if limit is not None else "")
        self._parameters: dict[str, Any] = {"until": 2**62 if until is None else until}
        if limit is not None:
            self._parameters["limit"] = limit

    def __enter__(self) -> "Queue":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def counts(self) -> tuple[int, int]:
        """Transactions and labels in the queue."""
        query = f"SELECT count(*) FILTER (kind = 0), count(*) FILTER (kind = 1) FROM spooled WHERE {self._where}"  # noqa: S608
        row = self._connection.execute(query, self._parameters).fetchone()
        if row is None:
            raise UserError("the spool is empty")
        return int(row[0]), int(row[1])

    def messages(self, skip: int) -> Iterator[Outgoing]:
        """Messages after the first `skip` ones."""
        query = f"SELECT kind, key, value, moment FROM spooled WHERE {self._where} {_ORDER} OFFSET $skip"  # noqa: S608
        for batch in stream(self._connection, query, self._parameters | {"skip": skip}):
            columns = [column.to_pylist() for column in batch.columns]
            for kind, key, value, moment in zip(*columns, strict=True):
                yield Outgoing(FRAUD_LABELS if kind == _LABEL else TRANSACTIONS, key, value, moment)

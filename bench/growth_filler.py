"""Ten thousand commits for `bench.growth`, written in two minutes: Delta's log by hand, around real rows.

A commit looks as Spark writes it: transaction, files with statistics of 32 columns, and a checkpoint at the table's own
interval. Times of files are those of the traffic, so that clean-up finds them old.
"""

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from bench.traffic import world_of
from fraud_domain.settings import Settings
from fraud_domain.tables import TableSpec, location, table
from fraud_domain.topics import TRANSACTIONS
from medallion_services.generator.timeline import Plan, Timeline
from spark_jobs.contract import TimeLimits, parse_transactions
from spark_jobs.schemas import table_schema

_INDEXED_COLUMNS = 32
"""Delta's own default."""
_PART = "event_date"
SILVER, RAW = table("silver.transactions"), table("bronze.transactions")


@dataclass(slots=True)
class Log:
    """A table's log as it is written on; begins after what the platform's own writer committed."""

    path: Path
    app_id: str
    interval: int
    version: int

    @classmethod
    def of(cls, lake_root: str, spec: TableSpec, app_id: str) -> "Log":
        """The log of a table that has one commit with rows at least."""
        path = Path(location(lake_root, spec))
        delta = DeltaTable(path)
        interval = int(delta.metadata().configuration["delta.checkpointInterval"])
        return cls(path, app_id, interval, delta.version())

    def add(self, rows: pa.Table, at: float) -> dict[str, Any]:
        """Write rows of one day as a file; returns the action that adds it."""
        day = rows[_PART][0].as_py()
        name = f"{_PART}={day}/part-00000-{uuid.uuid4()}.c000.snappy.parquet"
        target = self.path / name
        target.parent.mkdir(exist_ok=True)
        plain = rows.drop_columns(_PART)
        pq.write_table(plain, target, compression="snappy")
        os.utime(target, (at, at))
        return {
            "path": name, "partitionValues": {_PART: str(day)}, "size": target.stat().st_size,
            "modificationTime": int(at * 1000), "dataChange": True,
            "stats": json.dumps(_statistics(plain), default=_as_json),
        }  # fmt: skip

    def remove(self, added: dict[str, Any], at: float) -> dict[str, Any]:
        """The action that removes a file; the file stays, as it does in a table that nobody vacuums."""
        same = {name: added[name] for name in ("path", "partitionValues", "size", "dataChange")}
        return same | {"deletionTimestamp": int(at * 1000), "extendedFileMetadata": True}

    def commit(self, number: int, actions: list[dict[str, Any]], at: float) -> None:
        """Write a batch's commit, and a checkpoint when one is due."""
        self.version += 1
        milliseconds, operation = int(at * 1000), str(uuid.uuid4())
        transaction = {"appId": self.app_id, "version": number, "lastUpdated": milliseconds}
        told = {
            "timestamp": milliseconds, "operation": "WRITE", "readVersion": self.version - 1, "txnId": operation,
            "operationParameters": {"mode": "Append", "partitionBy": "[]"}, "isolationLevel": "Serializable",
        }  # fmt: skip
        lines = [{"commitInfo": told}, {"txn": transaction}, *actions]
        target = self.path / "_delta_log" / f"{self.version:020d}.json"
        target.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        os.utime(target, (at, at))
        if self.version % self.interval == 0:
            DeltaTable(self.path).create_checkpoint()
            checkpoint = self.path / "_delta_log" / f"{self.version:020d}.checkpoint.parquet"
            os.utime(checkpoint, (at, at))


def _as_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    raise TypeError(type(value).__name__)


def _statistics(rows: pa.Table) -> dict[str, Any]:
    least, most, nulls = {}, {}, {}
    for name in rows.column_names[:_INDEXED_COLUMNS]:
        values = rows[name].to_pylist()
        known = [value for value in values if value is not None]
        nulls[name] = len(values) - len(known)
        if known and not isinstance(known[0], bool):
            least[name], most[name] = min(known), max(known)
    return {"numRecords": rows.num_rows, "minValues": least, "maxValues": most, "nullCount": nulls}


def by_day(rows: pa.Table) -> Iterator[pa.Table]:
    """The rows of each partition among them."""
    days: list[date] = rows[_PART].unique().to_pylist()
    for day in days:
        yield rows if len(days) == 1 else rows.filter(pc.equal(rows[_PART], pa.scalar(day)))


def shares(rows: pa.Table, parts: int) -> Iterator[pa.Table]:
    """Rows in their order, in parts of about the same size."""
    for part in range(parts):
        first, after = rows.num_rows * part // parts, rows.num_rows * (part + 1) // parts
        yield rows.slice(first, after - first)


def traffic(spark: SparkSession, settings: Settings, start: float, seconds: float, rate: float) -> pa.Table:
    """Silver rows of some time of the generator's traffic, by the platform's own parser, in order of arrival."""
    world = world_of(settings)
    timeline = Timeline(world, Plan(rate, 1, fraud_share=0.02, run_id=f"growth{start}"))
    emissions = [e for e in timeline.emissions(start, start + seconds) if e.topic == TRANSACTIONS]
    sent = [datetime.fromtimestamp(emission.send_at, UTC) for emission in emissions]
    moments = pa.array(sent, pa.timestamp("us", "UTC"))
    columns = {
        "topic": [TRANSACTIONS] * len(sent), "partition": pa.array([0] * len(sent), pa.int32()),
        "offset": list(range(len(sent))), "kafka_timestamp": moments,
        "key": [emission.key for emission in emissions], "value": [emission.value for emission in emissions],
        "card_masked": [False] * len(sent), "ingested_at": moments, "ingest_date": [moment.date() for moment in sent],
    }  # fmt: skip
    raw = spark.createDataFrame(pa.table(columns), table_schema(RAW))
    limits = TimeLimits(settings.streams.late_after, settings.streams.future_tolerance)
    valid = parse_transactions(raw, limits).where("errors IS NULL").select(*SILVER.column_names)
    return valid.toArrow().sort_by("offset")


def append_commits(log: Log, rows: pa.Table, commits: int, start: float, seconds: float, tasks: int) -> None:
    """Commits of an append table over some time: in each a file of each task and day."""
    for number, batch in enumerate(shares(rows, commits), 1):
        at = start + seconds * number / commits
        parts = [part for share in shares(batch, tasks) for part in by_day(share)]
        log.commit(number + 1, [{"add": log.add(part, at)} for part in parts if part.num_rows], at)


def merge_commits(log: Log, rows: pa.Table, commits: int, start: float, seconds: float) -> None:
    """Commits of a merged table, each of which rewrites its day's one file, as MERGE does in traffic that overlaps.

    A file that the next commit removes holds its own batch's rows only, which nobody reads; a day's last one holds all.
    """
    newest: dict[date, dict[str, Any]] = {}
    days = {day[_PART][0].as_py(): day for day in by_day(rows)}
    batches = [part for batch in shares(rows, commits) for part in by_day(batch)]
    last = {batch[_PART][0].as_py(): number for number, batch in enumerate(batches)}
    for number, batch in enumerate(batches):
        at, day = start + seconds * number / len(batches), batch[_PART][0].as_py()
        added = log.add(days[day] if last[day] == number else batch, at)
        actions = [{"add": added}]
        if day in newest:
            actions.append({"remove": log.remove(newest[day], at)})
        newest[day] = added
        log.commit(number + 2, actions, at)

"""Compaction, checkpoint and clean-up of Delta tables, by delta-rs: no JVM, and no conflict with the streams.

Only tables that streams append to are compacted: an append never conflicts with a rewrite of older files, an addition
to sums may. Compaction commits with `dataChange=false`, so streams that read the table pass over it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
import pyarrow as pa
from deltalake import DeltaTable
from psycopg.rows import DictRow

from fraud_domain.tables import TableSpec

SMALL_BYTES = 32 * 1024 * 1024
TARGET_BYTES = 128 * 1024 * 1024
ENOUGH_SMALL_FILES = 100
"""Fewer are not worth a rewrite."""
RETENTION = timedelta(days=7)
"""How long a removed file stays for readers that lag; Delta's own default."""
RETENTION_OF_SUMS = timedelta(hours=1)
"""The same where each batch writes the files of its windows and all profiles anew: 6 MB for 100,000 customers, every
four seconds 130 GB a day. No stream reads these tables."""
STILL_TO_READ = timedelta(minutes=30)
"""Half of what a log keeps: a commit that a stream has not read by then must not be forgotten before it has."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Files of a table's newest version."""

    files: int
    small: int
    bytes: int
    version: int


def shape(delta: DeltaTable) -> Shape:
    """Number and size of the files that a reader opens now."""
    # delta-rs hands out its own arrow tables.
    actions = pa.table(delta.get_add_actions(flatten=True))
    values: list[int] = actions["size_bytes"].to_pylist() if actions.num_rows else []
    return Shape(len(values), sum(size < SMALL_BYTES for size in values), sum(values), delta.version())


def should_compact(spec: TableSpec, found: Shape) -> bool:
    """Whether a rewrite pays, and cannot meet an addition to sums."""
    return spec.append_only and found.small >= ENOUGH_SMALL_FILES


def compact(delta: DeltaTable) -> int:
    """Rewrite small files into large ones, partition by partition; returns how many files went."""
    metrics = delta.optimize.compact(target_size=TARGET_BYTES)
    return int(metrics["numFilesRemoved"])


def lagging(database: psycopg.Connection[DictRow]) -> list[str]:
    """Streams that are wanted running but have not beaten within half the retention: they may need old files."""
    rows = database.execute(
        "SELECT h.stream FROM fraud.stream_heartbeat h LEFT JOIN fraud.stream_wanted c USING (application)"
        " WHERE h.beat_at < clock_timestamp() - %s ORDER BY 1",
        (RETENTION / 2,),
    ).fetchall()
    return [row["stream"] for row in rows]


def versions_read(database: psycopg.Connection[DictRow]) -> dict[str, int]:
    """By id of a Delta table: the version that the query which is furthest behind has read."""
    rows = database.execute(
        "SELECT id, min(version::bigint) AS version FROM ("
        " SELECT DISTINCT ON (query) detail->'read' AS read FROM fraud.stream_progress"
        " WHERE detail ? 'read' ORDER BY query, at DESC, batch_id DESC"
        ") AS newest, jsonb_each_text(read) AS each (id, version) GROUP BY id"
    ).fetchall()
    return {row["id"]: row["version"] for row in rows}


def log_is_needed(delta: DeltaTable, read: Mapping[str, int], now: datetime) -> bool:
    """Whether a stream, behind or stopped, has still to read an old commit: without it, it would lose its place.

    A commit need not be news: after a compaction a stopped stream goes on at a commit that it will pass over.
    """
    unread = delta.version() - read.get(str(delta.metadata().id), delta.version())
    if unread <= 0:
        return False
    first = delta.history(limit=unread + 1)[-1]
    return now - datetime.fromtimestamp(first["timestamp"] / 1000, UTC) > STILL_TO_READ


def cut_log(delta: DeltaTable) -> None:
    """Write a checkpoint, and forget log entries older than the table's own retention."""
    delta.create_checkpoint()
    delta.cleanup_metadata()


def retention(spec: TableSpec) -> timedelta:
    """How long a removed file of a table stays."""
    return RETENTION if spec.append_only else RETENTION_OF_SUMS


def delete_files(spec: TableSpec, delta: DeltaTable) -> int:
    """Delete files that no version within the retention used, also those that the log has forgotten; says how many."""
    hours = int(retention(spec).total_seconds() // 3600)
    # Delta's own least retention is for tables that streams read; none reads sums.
    return len(delta.vacuum(retention_hours=hours, dry_run=False, enforce_retention_duration=False, full=True))

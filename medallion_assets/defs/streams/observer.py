"""The observer sensor: what the streams wrote, as materializations, at most one per table and tick."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from fraud_domain.tables import BATCH, TableSpec, delta_tables, postgres_tables
from medallion_assets.platform import Platform
from medallion_assets.specs import asset_key, column_schema

CURSOR_VERSION = 1
MIN_SECONDS_BETWEEN = 60.0
"""Dagster's event log is never pruned by itself: one event per table and minute is 1,440 rows a day."""

_MARKS = {"alerts.alerts": "detected_at", "alerts.outbox": "created_at", "alerts.batch_ledger": "committed_at"}


def read_cursor(text: str | None) -> dict[str, dict[str, Any]]:
    """Per table: the mark (Delta version, row count) and when it was reported. Foreign cursors start anew."""
    try:
        document = json.loads(text or "{}")
    except json.JSONDecodeError:
        return {}
    if not isinstance(document, dict) or document.get("v") != CURSOR_VERSION:
        return {}
    return dict(document.get("tables", {}))


def write_cursor(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """The cursor as JSON."""
    return json.dumps({"v": CURSOR_VERSION, "tables": tables}, sort_keys=True)


def is_due(seen: Mapping[str, Any] | None, mark: Any, now: float) -> bool:
    """Whether a table moved since it was last reported, and that was long enough ago."""
    if seen is None:
        return True
    return bool(mark != seen["mark"] and now - float(seen["at"]) >= MIN_SECONDS_BETWEEN)


def observe_delta(platform: Platform, spec: TableSpec) -> tuple[Any, dict[str, Any]] | None:
    """Mark and metadata of a Delta table; None while it has no rows."""
    delta = platform.delta(spec)
    if delta is None:
        return None
    actions = pa.table(delta.get_add_actions(flatten=True))
    rows = pc.sum(actions["num_records"]).as_py() or 0
    newest = delta.history(1)[0]
    if not rows:
        return None
    return delta.version(), {
        "dagster/row_count": rows,
        "dagster/last_updated_timestamp": dg.MetadataValue.timestamp(newest["timestamp"] / 1000),
        "delta version": delta.version(),
        "files": actions.num_rows,
        "bytes": pc.sum(actions["size_bytes"]).as_py(),
        "last operation": newest.get("operation", ""),
    }


def observe_postgres(platform: Platform, spec: TableSpec) -> tuple[Any, dict[str, Any]] | None:
    """Mark and metadata of a database table; None while it has no rows."""
    mark = _MARKS.get(spec.full_name)
    newest = f"max({mark})" if mark else "NULL::timestamptz"
    with platform.database() as connection:
        row = connection.execute(
            f"SELECT count(*) AS rows, {newest} AS newest FROM {_table_name(spec)}"  # noqa: S608 - names from the registry
        ).fetchone()
    if row is None or not row["rows"]:
        return None
    metadata: dict[str, Any] = {"dagster/row_count": row["rows"]}
    if row["newest"]:
        metadata["dagster/last_updated_timestamp"] = dg.MetadataValue.timestamp(row["newest"])
        return row["newest"].isoformat(), metadata
    return f"{row['rows']}@{_mart_state(platform, spec)}", metadata


def _mart_state(platform: Platform, spec: TableSpec) -> int:
    """A number that moves whenever a mart is written: rows inserted and updated since the server's start."""
    with platform.database() as connection:
        row = connection.execute(
            "SELECT coalesce(n_tup_ins + n_tup_upd, 0) AS moved FROM pg_stat_user_tables"
            " WHERE schemaname = %s AND relname = %s",
            (spec.layer, spec.name),
        ).fetchone()
    return int(row["moved"]) if row else 0


def _table_name(spec: TableSpec) -> str:
    return f"{'mart' if spec.layer == 'mart' else 'fraud'}.{spec.name}"


def observe_all(
    platform: Platform, cursor: Mapping[str, Mapping[str, Any]], now: datetime
) -> tuple[list[dg.AssetMaterialization], dict[str, dict[str, Any]]]:
    """The materializations that are due, and the cursor after them."""
    events, after = [], {name: dict(seen) for name, seen in cursor.items()}
    for spec in (*delta_tables(), *postgres_tables()):
        if spec.stream == BATCH:
            continue  # its own run reports it
        observed = observe_delta(platform, spec) if spec in delta_tables() else observe_postgres(platform, spec)
        if observed is None:
            continue
        mark, metadata = observed
        if not is_due(cursor.get(spec.full_name), mark, now.timestamp()):
            continue
        first_time = spec.full_name not in cursor
        if first_time:
            metadata["dagster/column_schema"] = column_schema(spec.columns)
        events.append(dg.AssetMaterialization(asset_key(spec.full_name), metadata=metadata))
        after[spec.full_name] = {"mark": mark, "at": now.timestamp()}
    return events, after


@dg.sensor(
    name="table_observer",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports what the streams wrote: versions, row counts, times",
)
def table_observer(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]) -> dg.SensorResult:
    """Look at every table once."""
    events, cursor = observe_all(platform, read_cursor(context.cursor), datetime.now(UTC))
    names = ", ".join(e.asset_key.to_user_string() for e in events)
    return dg.SensorResult(
        asset_events=events,
        cursor=write_cursor(cursor),
        skip_reason=dg.SkipReason(f"reported {len(events)} tables: {names}" if events else "no table moved"),
    )

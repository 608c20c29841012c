"""What the tables and the ledger know of a query, read without a JVM."""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg

from fraud_domain.micro_batch import app_id
from fraud_domain.object_store import is_local
from fraud_domain.settings import Settings
from fraud_domain.streams import STREAMS, StreamSpec, stream
from fraud_domain.tables import TableSpec, location, table
from medallion_services.checkpoints.judging import Sinks
from medallion_services.errors import UserError
from medallion_services.lake_tables import open_table

BY_ITSELF = frozenset(
    {"gold.metrics", "gold.profiles", "gold.rule_metrics", *(f"bronze.{q}" for q in stream("bronze").queries)}
)
"""Queries that need nothing but an empty checkpoint: they go on after their own rows, or count anew."""
_DECISIONS = ("gold.fraud_decisions", "gold.fraud_alerts")
_TABLES = {
    "gold.decisions": _DECISIONS,
    "gold.metrics": ("gold.transaction_metrics_minute", "gold.transaction_metrics_hour"),
    "gold.profiles": ("gold.customer_profiles", "gold.merchant_profiles"),
    "gold.rule_metrics": ("gold.rule_metrics_daily",),
    "silver.transactions": ("silver.transactions", "silver.quarantine", "silver.late_transactions"),
    "silver.labels": ("silver.labels", "silver.quarantine"),
    "silver.account_events": ("silver.account_events", "silver.quarantine"),
    "alerts.decide": (),
    "alerts.decide_others": (),
}


def queries() -> tuple[str, ...]:
    """Every query that has a checkpoint, as `stream.query`."""
    return tuple(f"{spec.name}.{query}" for spec in STREAMS for query in spec.queries)


def parse_query(text: str) -> tuple[StreamSpec, str]:
    """`stream.query` as its parts.

    Raises:
        UserError: there is no such query.
    """
    if text not in queries():
        raise UserError(f"no query '{text}'; known: {', '.join(queries())}")
    name, query = text.split(".", 1)
    return stream(name), query


def tables_of(query: str) -> tuple[TableSpec, ...]:
    """The Delta tables that a query appends to."""
    names = _TABLES.get(query, (query,))
    return tuple(table(name) for name in names)


def knowledge(settings: Settings, query: str, generation: str | None) -> Sinks:
    """What the sinks know; `generation` is the one the checkpoint names, None when it does not.

    Raises:
        UserError: the lake is not on this machine.
        psycopg.OperationalError: the database is away.
    """
    if query.startswith("alerts."):
        return _of_ledger(settings, query, generation)
    if not is_local(settings.lake_root):
        raise UserError("the checkpoint doctor reads lakes on this machine only; copy log and checkpoint here first")
    tables = [(spec, Path(location(settings.lake_root, spec))) for spec in tables_of(query)]
    last = generation or next((g for spec, path in tables if (g := _last_generation(path, query, spec))), None)
    newest = -1
    rows = False
    for spec, _ in tables:
        delta = open_table(settings, spec)
        if delta is None:
            continue
        rows = rows or (spec.name != "quarantine" and delta.version() > 0)
        version = delta.transaction_version(app_id(query, spec.full_name, last)) if last else None
        newest = max(newest, -1 if version is None else version)
    return Sinks(rows, last, newest, query in BY_ITSELF)


def _last_generation(path: Path, query: str, spec: TableSpec) -> str | None:
    """The generation of the query's newest write, from the table's log."""
    prefix = app_id(query, spec.full_name, "")
    for action in _newest_first(path):
        noted = str(action.get("txn", {}).get("appId", ""))
        if noted.startswith(prefix) and noted != prefix:
            return noted.removeprefix(prefix)
    return None


def _newest_first(path: Path) -> Iterator[dict[str, dict[str, object]]]:
    for file in sorted((path / "_delta_log").glob("[0-9]*.json"), reverse=True):
        yield from (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip())


def _of_ledger(settings: Settings, query: str, generation: str | None) -> Sinks:
    with psycopg.connect(**settings.postgres_parameters("fraud_reader"), connect_timeout=5) as connection:
        row = connection.execute(
            "SELECT generation, max(batch_id) FROM fraud.batch_ledger WHERE stream = %s AND generation = coalesce(%s,"
            " (SELECT generation FROM fraud.batch_ledger WHERE stream = %s ORDER BY committed_at DESC LIMIT 1))"
            " GROUP BY generation",
            (query, generation, query),
        ).fetchone()
        boundary = connection.execute("SELECT 1 FROM fraud.rule_boundaries WHERE query = %s LIMIT 1", (query,))
        judged = boundary.fetchone() is not None
    return Sinks(judged, generation or (row[0] if row else None), row[1] if row else -1)

"""The lake, read only and without a JVM: DuckDB over the Delta tables that the streams write.

Every function blocks and is run in a thread. A table that no stream has written yet is empty, not an error.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from fraud_domain.settings import Settings
from fraud_domain.tables import delta_tables, table
from medallion_services.lake_tables import open_table, rows_of

TIMELINE_DAYS = 60
"""How far the time line looks back: days are partitions, so older ones are not read."""
_TIMELINE = """
SELECT t.transaction_id, t.event_time, CAST(t.amount AS VARCHAR) AS amount, t.currency, t.type, t.channel, t.status,
       t.merchant_name, t.merchant_id, t.mcc, t.merchant_country, t.device_id, t.terminal_id, t.entry_mode,
       t.latitude, t.longitude, t.decline_reason, t.is_late
FROM transactions t WHERE t.customer_id = $customer AND t.event_date >= $day
ORDER BY t.event_time DESC, t.transaction_id DESC LIMIT 50
"""
_SCORES = """
SELECT transaction_id, max(score) AS score, max_by(level, score) AS level FROM decisions
WHERE customer_id = $customer AND event_time >= $since AND list_contains($ids, transaction_id) GROUP BY transaction_id
"""
_LABELS = """
SELECT transaction_id, label, source, label_time FROM labels WHERE list_contains($ids, transaction_id)
QUALIFY row_number() OVER (PARTITION BY transaction_id ORDER BY label_time DESC) = 1
"""
_RULE_TRUTH = """
WITH truth AS (
    SELECT transaction_id, arg_max(label, label_time) AS label FROM labels GROUP BY transaction_id
), hits AS (
    SELECT a.transaction_id, json_extract_string(r.value, '$.rule_id') AS rule_id
    FROM alerts a, json_each(a.reasons) AS r
    WHERE CAST(json_extract_string(r.value, '$.contribution') AS DOUBLE) > 0
)
SELECT h.rule_id, count(DISTINCT h.transaction_id) FILTER (t.label = 'fraud') AS fraud,
       count(DISTINCT h.transaction_id) FILTER (t.label = 'legit') AS legit
FROM hits h JOIN truth t USING (transaction_id) GROUP BY h.rule_id ORDER BY h.rule_id
"""
_QUARANTINE = """
SELECT CAST(ingest_date AS VARCHAR) AS day, reason_code, count(*) AS messages FROM quarantine
WHERE ingest_date > current_date - 14 GROUP BY ALL ORDER BY day, reason_code
"""
_LATE = """
SELECT CAST(event_date AS VARCHAR) AS day, count(*) AS transactions, median(lateness_seconds) AS median_seconds,
       max(lateness_seconds) AS max_seconds
FROM late WHERE event_date > current_date - 14 GROUP BY ALL ORDER BY day
"""
_FOUND_AND_MISSED = """
WITH truth AS (
    SELECT transaction_id, arg_max(label, label_time) AS label FROM labels GROUP BY transaction_id
)
SELECT d.currency, count(DISTINCT d.transaction_id) FILTER (t.label = 'fraud' AND d.alert) AS found,
       count(DISTINCT d.transaction_id) FILTER (t.label = 'fraud' AND NOT d.alert) AS missed,
       count(DISTINCT d.transaction_id) FILTER (t.label = 'legit' AND d.alert) AS false_alarms,
       CAST(sum(d.amount) FILTER (t.label = 'fraud' AND d.alert) AS VARCHAR) AS amount_found,
       CAST(sum(d.amount) FILTER (t.label = 'fraud' AND NOT d.alert) AS VARCHAR) AS amount_missed
FROM decisions d JOIN truth t USING (transaction_id) WHERE d.subject_kind = 'customer' GROUP BY d.currency ORDER BY 1
"""
_NAMES = {
    "transactions": "silver.transactions",
    "labels": "silver.labels",
    "quarantine": "silver.quarantine",
    "late": "silver.late_transactions",
    "decisions": "gold.fraud_decisions",
    "alerts": "gold.fraud_alerts",
}


@contextmanager
def _opened(settings: Settings, *names: str) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 2, "memory_limit": "512MB"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name in names:
            connection.register(name, rows_of(settings, table(_NAMES[name])))
        yield connection


def _dicts(connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    cursor = connection.execute(query, parameters)
    columns = [column[0] for column in cursor.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def timeline(settings: Settings, customer_id: str) -> list[dict[str, Any]]:
    """The customer's last 50 transactions of two months, newest first, with score, level and what became known."""
    with _opened(settings, "transactions", "decisions", "labels") as connection:
        day = datetime.now(UTC).date() - timedelta(days=TIMELINE_DAYS)
        found = _dicts(connection, _TIMELINE, {"customer": customer_id, "day": day})
        if not found:
            return []
        ids = [row["transaction_id"] for row in found]
        since = found[-1]["event_time"]
        scores = _dicts(connection, _SCORES, {"customer": customer_id, "since": since, "ids": ids})
        labels = _dicts(connection, _LABELS, {"ids": ids})
    by_score = {row.pop("transaction_id"): row for row in scores}
    by_label = {row.pop("transaction_id"): row for row in labels}
    unknown = {"score": None, "level": None}
    return [
        row | by_score.get(row["transaction_id"], unknown) | {"label": by_label.get(row["transaction_id"])}
        for row in found
    ]


def rule_truth(settings: Settings) -> dict[str, dict[str, int]]:
    """By rule: alerts it added points to whose transaction is known to be fraud, or known to be legitimate."""
    with _opened(settings, "alerts", "labels") as connection:
        return {row.pop("rule_id"): row for row in _dicts(connection, _RULE_TRUTH, {})}


def truth(settings: Settings) -> list[dict[str, Any]]:
    """By currency: labelled fraud that was found and missed, in transactions and money, and false alarms."""
    with _opened(settings, "decisions", "labels") as connection:
        return _dicts(connection, _FOUND_AND_MISSED, {})


def refused(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """Messages in quarantine by day and reason, and late transactions by day, of the last two weeks."""
    with _opened(settings, "quarantine", "late") as connection:
        return {"quarantine": _dicts(connection, _QUARANTINE, {}), "late": _dicts(connection, _LATE, {})}


def freshness(settings: Settings, now: datetime) -> list[dict[str, Any]]:
    """Each Delta table: version, rows by its log, age of its last write in seconds, and the limit if it has one."""
    found = []
    for spec in delta_tables():
        opened = open_table(settings, spec)
        row: dict[str, Any] = {"table": spec.full_name, "stream": spec.stream, "owner": spec.owner, "store": "delta"}
        row |= {"limit_seconds": spec.fresh_within_minutes * 60 if spec.fresh_within_minutes else None}
        if opened is None:
            found.append(row | {"version": None, "rows": 0, "age_seconds": None})
            continue
        actions = opened.get_add_actions(flatten=True)
        counts = pa.table(actions).column("num_records").to_pylist()
        written = datetime.fromtimestamp(opened.history(1)[0]["timestamp"] / 1000, UTC)
        row |= {"version": opened.version(), "rows": sum(count or 0 for count in counts)}
        found.append(row | {"age_seconds": (now - written).total_seconds()})
    return found


def version(settings: Settings, full_name: str) -> int | None:
    """The Delta version of a table as it is now."""
    opened = open_table(settings, table(full_name))
    return opened.version() if opened else None

"""Rule board, streams and data health: the database's views joined with what only the lake or the rules know."""

from datetime import UTC, date, datetime
from typing import Any, LiteralString

from fraud_domain.streams import STREAMS
from fraud_domain.tables import postgres_tables
from medallion_services.dashboard.database import Row
from medallion_services.dashboard.desk import Desk

DORMANT_DAYS = 7
_NEWEST: dict[str, LiteralString] = {
    "alerts.alerts": "SELECT max(detected_at) FROM fraud.alerts",
    "alerts.outbox": "SELECT created_at FROM fraud.outbox ORDER BY outbox_id DESC LIMIT 1",
    "alerts.batch_ledger": "SELECT max(committed_at) FROM fraud.batch_ledger WHERE stream = 'alerts'",
    "mart.transaction_metrics_minute": "SELECT max(window_start) FROM mart.transaction_metrics_minute",
    "mart.transaction_metrics_hour": "SELECT max(window_start) FROM mart.transaction_metrics_hour",
    "mart.rule_metrics_daily": "SELECT max(event_date)::timestamptz FROM mart.rule_metrics_daily",
}
_FALLBACK: LiteralString = "SELECT NULL::timestamptz"


async def rules(desk: Desk) -> list[dict[str, Any]]:
    """Every rule of the catalogue, and those that once hit but are gone, with hits, outcomes and precision.

    `precision` is confirmed / (confirmed + refuted) by the analysts' findings, `label_precision` the same by all labels
    of the lake, chargebacks and customers included; None where nothing is known.
    """
    names = await desk.names()
    board = {row["rule_id"]: row for row in await desk.cache.get("rule_board", 2, lambda: _board(desk), stale=2)}
    truth: dict[str, dict[str, int]] = await desk.from_lake("rule_truth")
    found = []
    for rule_id in sorted({*names.rules, *board}):
        card, row, known = names.rules.get(rule_id), board.get(rule_id, {}), truth.get(rule_id, {})
        fraud, legit = known.get("fraud", 0), known.get("legit", 0)
        found.append(
            {
                "rule_id": rule_id,
                "title": card.title if card else "",
                "typology": card.typology if card else "",
                "status": card.status if card else "gone",
                "weight": card.weight if card else None,
                "owner": card.owner if card else "",
                **{name: int(row.get(name) or 0) for name in _COUNTS},
                "last_hit": row.get("last_hit"),
                "precision": row.get("precision"),
                "label_fraud": fraud,
                "label_legit": legit,
                "label_precision": fraud / (fraud + legit) if fraud + legit else None,
                "dormant": dormant(card.status if card else "gone", row.get("last_hit"), datetime.now(UTC).date()),
            }
        )
    return found


_COUNTS = (
    "hits_today", "hits_7d", "hits_30d", "alerts_30d", "shadow_hits_30d", "confirmed", "refuted", "undecided",
)  # fmt: skip


def dormant(status: str, last_hit: date | None, today: date) -> bool:
    """Whether a rule that should work has not hit lately."""
    return status in ("active", "shadow") and (last_hit is None or (today - last_hit).days >= DORMANT_DAYS)


async def _board(desk: Desk) -> list[Row]:
    return await desk.database.rows("SELECT * FROM mart.v_rule_board")


async def streams(desk: Desk) -> list[dict[str, Any]]:
    """Every stream with its heartbeat and last minute; `healthy` is None when it never started."""
    beats = {row["stream"]: row for row in await desk.database.rows("SELECT * FROM mart.v_stream_health")}
    minutes = await desk.metric("stream_minutes", "1h")
    last = {row["stream"]: row for row in minutes}
    stale = desk.settings.streams.stale_after_seconds
    found: list[dict[str, Any]] = []
    for spec in STREAMS:
        beat, recent = beats.get(spec.name), last.get(spec.name, {})
        row: dict[str, Any] = {"stream": spec.name, "description": spec.description}
        row |= beat or {"state": "never started", "beat_age_seconds": None, "run_id": "", "batch_id": None}
        row["healthy"] = _healthy(beat, stale)
        for name in ("input_rows", "batch_p50_ms", "batch_p99_ms", "lag_rows", "state_rows", "state_bytes"):
            row[name] = recent.get(name)
        found.append(row)
    return found


def _healthy(beat: Row | None, stale_after: float) -> bool | None:
    if beat is None:
        return None
    if beat["state"] == "stopped":
        return bool(beat["desired"] == "stopped")
    return bool(beat["state"] != "failed" and beat["beat_age_seconds"] <= stale_after)


async def data(desk: Desk) -> dict[str, Any]:
    """Freshness of tables, quarantine and late rows by day, labelled truth, labels that wait, reconciliation."""
    tables = list(await desk.from_lake("freshness"))
    now = datetime.now(UTC)
    for spec in postgres_tables():
        row = await desk.database.one(_NEWEST.get(spec.full_name, _FALLBACK))
        newest = next(iter(row.values()), None) if row else None
        age = (now - newest).total_seconds() if newest else None
        tables.append(
            {"table": spec.full_name, "stream": spec.stream, "owner": spec.owner, "store": "postgres",
             "limit_seconds": None, "version": None, "rows": None, "age_seconds": age}
        )  # fmt: skip
    refused = await desk.from_lake("refused")
    rows = {each["table"]: each["rows"] for each in tables}
    waiting = await desk.database.one("SELECT * FROM mart.v_labels_on_their_way")
    return {
        "tables": tables,
        "quarantine": refused["quarantine"],
        "late": refused["late"],
        "truth": await desk.from_lake("truth"),
        "labels": waiting,
        "checks": await desk.checks(),
        "reconciliation": reconcile(rows),
    }


def reconcile(rows: dict[str, int | None]) -> dict[str, int]:
    """bronze = silver + quarantine + repeats: what is left over is repeats, or not read by silver yet."""
    bronze = (rows.get("bronze.transactions") or 0) + (rows.get("bronze.labels") or 0)
    silver = (rows.get("silver.transactions") or 0) + (rows.get("silver.labels") or 0)
    quarantine = rows.get("silver.quarantine") or 0
    return {"bronze": bronze, "silver": silver, "quarantine": quarantine, "left": bronze - silver - quarantine}

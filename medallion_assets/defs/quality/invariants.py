"""What must hold between tables: nothing lost, nothing doubled. Used by asset checks and by every test.

Tables are filled one after another, so a row younger than `settled_before` may not have arrived everywhere
yet; it is left out of the comparison. Tests that let the streams run dry pass the present.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc

from fraud_domain.micro_batch import app_id
from fraud_domain.streams import stream
from fraud_domain.tables import table
from medallion_assets.defs.quality.finding import Finding
from medallion_assets.defs.quality.kafka_checks import offsets_contiguous, reaches_kafka
from medallion_assets.defs.quality.lake_sql import rows, scalar
from medallion_assets.defs.quality.view import Invariant, View

_SHOWN = 5
QUARANTINE_SHARE_LIMIT = 0.05


def nothing_lost(bronze: str, silver: str, key: str) -> Invariant:
    """bronze = silver + quarantine + duplicates, the duplicates counted from bronze itself."""

    def check(view: View) -> Finding:
        settled = view.settled_before
        missing = rows(
            view.lake,
            f"""
            SELECT b.topic, b.partition, b."offset" FROM {bronze} b
            ANTI JOIN {silver} s ON s.topic = b.topic AND s.partition = b.partition AND s."offset" = b."offset"
            ANTI JOIN silver.quarantine q
                ON q.topic = b.topic AND q.partition = b.partition AND q."offset" = b."offset"
            WHERE b.ingested_at < ?
            """,
            settled,
        )
        total = scalar(view.lake, f"SELECT count(*) FROM {bronze} WHERE ingested_at < ?", settled)
        duplicates = _duplicates(view, bronze, silver, key, missing)
        figures = {"bronze": total, "neither in silver nor in quarantine": len(missing), "duplicates": duplicates}
        if duplicates != len(missing):
            return Finding(
                False, f"{len(missing) - duplicates} rows of {bronze} are nowhere, such as {missing[:_SHOWN]}", figures
            )
        return Finding(
            True, f"{total} rows: every one in silver, in quarantine, or a duplicate ({duplicates})", figures
        )

    return check


def _duplicates(view: View, bronze: str, silver: str, key: str, missing: list[tuple[Any, ...]]) -> int:
    """How many of the missing rows repeat a key that silver holds."""
    if not missing:
        return 0
    view.lake.execute('CREATE OR REPLACE TEMP TABLE missing (topic VARCHAR, partition INTEGER, "offset" BIGINT)')
    view.lake.executemany("INSERT INTO missing VALUES (?, ?, ?)", [list(m) for m in missing])
    return scalar(
        view.lake,
        f"""
        SELECT count(*) FROM {bronze} b
        JOIN missing m ON m.topic = b.topic AND m.partition = b.partition AND m."offset" = b."offset"
        SEMI JOIN {silver} s ON s.{key} = try(json_extract_string(decode(b.value), '$.{key}'))
        """,
    )


def quarantine_share(view: View) -> Finding:
    """Few messages break the contract; many mean that a producer changed."""
    total = scalar(
        view.lake,
        " + ".join(["SELECT 0", *(f"(SELECT count(*) FROM {name})" for name in table("silver.quarantine").upstream)]),
    )
    by_reason = dict(
        rows(view.lake, "SELECT reason_code, count(*) FROM silver.quarantine GROUP BY ALL ORDER BY 2 DESC")
    )
    share = sum(by_reason.values()) / total if total else 0.0
    text = (
        f"{share:.2%} of {total} messages are in quarantine (limit {QUARANTINE_SHARE_LIMIT:.0%}): {by_reason or 'none'}"
    )
    return Finding(share <= QUARANTINE_SHARE_LIMIT, text, {"share": share, **by_reason}, warn_only=True)


def every_transaction_decided(view: View) -> Finding:
    """Every transaction in silver has exactly one decision."""
    undecided = rows(
        view.lake,
        "SELECT transaction_id FROM silver.transactions s ANTI JOIN"
        " (SELECT transaction_id FROM gold.fraud_decisions WHERE subject_kind = 'customer') d USING (transaction_id)"
        " WHERE ingested_at < ?",
        view.settled_before,
    )
    if undecided:
        shown = [r[0] for r in undecided[:_SHOWN]]
        return Finding(False, f"{len(undecided)} transactions without a decision, such as {shown}")
    return Finding(True, "every settled transaction has a decision")


def alerts_match_database(view: View) -> Finding:
    """The alerts of the decision log and those in PostgreSQL are the same."""
    lake = {r[0] for r in rows(view.lake, "SELECT alert_id FROM gold.fraud_alerts")}
    stored = view.database.execute("SELECT alert_id, detected_at FROM fraud.alerts").fetchall()
    database = {r["alert_id"] for r in stored}
    settled = {r["alert_id"] for r in stored if r["detected_at"] < view.settled_before}
    only_lake, only_database = sorted(lake - database), sorted(settled - lake)
    if only_lake or only_database:
        return Finding(
            False,
            f"{len(only_lake)} alerts only in gold {only_lake[:_SHOWN]}, {len(only_database)} only in PostgreSQL"
            f" {only_database[:_SHOWN]}",
        )
    return Finding(True, f"{len(database)} alerts on both sides")


def ledger_explains_alerts(view: View) -> Finding:
    """The ledger's sums account for every alert row."""
    row = view.database.execute(
        "SELECT (SELECT count(*) FROM fraud.alerts) AS alerts, coalesce(sum(alerts), 0) AS entered,"
        " count(DISTINCT (stream, generation)) - count(DISTINCT stream) AS lost FROM fraud.batch_ledger"
        " WHERE stream LIKE 'alerts.%'"
    ).fetchone()
    assert row is not None  # noqa: S101 - aggregates always give a row
    exact = row["lost"] == 0
    passed = row["alerts"] == row["entered"] if exact else row["alerts"] <= row["entered"]
    how = "exactly" if exact else "or fewer, since a new checkpoint generation judged some again"
    return Finding(passed, f"{row['alerts']} alerts, ledger says {row['entered']} ({how})", dict(row))


def every_alert_queued(view: View) -> Finding:
    """Every alert has an outbox row for each route it qualifies for."""
    row = view.database.execute(
        "SELECT count(*) AS missing FROM fraud.alerts a JOIN fraud.notification_route r"
        " ON r.enabled AND a.score >= r.min_score LEFT JOIN fraud.outbox o"
        " ON (o.alert_id, o.channel, o.recipient) = (a.alert_id, r.channel, r.recipient) WHERE o.alert_id IS NULL"
    ).fetchone()
    missing = row["missing"] if row else 0
    return Finding(missing == 0, f"{missing} alerts lack an outbox row")


def metrics_add_up(span: str) -> Invariant:
    """The windows hold as many transactions as silver, late ones included."""

    def check(view: View) -> Finding:
        counted = scalar(
            view.lake,
            f"SELECT sum(transactions) FROM gold.transaction_metrics_{span} WHERE dimension = 'all'",
        )
        settled = scalar(
            view.lake, "SELECT count(*) FROM silver.transactions WHERE ingested_at < ?", view.settled_before
        )
        total = scalar(view.lake, "SELECT count(*) FROM silver.transactions")
        text = f"windows hold {counted} transactions, silver {total}, of which {settled} settled"
        return Finding(settled <= counted <= total, text, {"windows": counted, "silver": total, "settled": settled})

    return check


def mart_matches_gold(span: str) -> Invariant:
    """The mart in PostgreSQL and the gold table hold the same totals.

    Delta is written first, so gold may be ahead by the batch under way; Delta's own record of the batch and the
    marts' ledger tell. The mart is read before gold, lest it overtakes what was read.
    """
    name = f"transaction_metrics_{span}"

    def check(view: View) -> Finding:
        mart = view.database.execute(
            f"SELECT (SELECT coalesce(sum(transactions), 0) FROM mart.{name}) AS transactions,"
            f" (SELECT coalesce(sum(amount), 0) FROM mart.{name}) AS amount, l.generation, l.batch_id"
            " FROM (SELECT generation, batch_id FROM fraud.batch_ledger WHERE stream = 'gold.metrics'"
            " ORDER BY committed_at DESC LIMIT 1) l"
        ).fetchone()
        delta = view.platform.delta(table(f"gold.{name}"))
        if mart is None or delta is None:
            return Finding(mart is None, "nothing written yet" if mart is None else "the mart has rows, gold has none")
        columns = delta.to_pyarrow_table(columns=["transactions", "amount"])
        gold = (pc.sum(columns["transactions"]).as_py() or 0, pc.sum(columns["amount"]).as_py() or 0)
        text = f"gold {gold[0]} transactions, {gold[1]}; mart {mart['transactions']}, {mart['amount']}"
        if gold == (mart["transactions"], mart["amount"]):
            return Finding(True, text)
        written = delta.transaction_version(app_id("gold.metrics", f"gold.{name}", mart["generation"]))
        under_way = written is not None and written > mart["batch_id"] and gold[0] > mart["transactions"]
        return Finding(under_way, f"{text}; gold is ahead by the batch under way" if under_way else text)

    return check


def no_row_behind_the_watermark(view: View) -> Finding:
    """No query dropped a row because its watermark had passed it, in the two days that progress is kept."""
    found = view.database.execute(
        "SELECT query, sum((detail->>'dropped_by_watermark')::bigint) AS dropped, min(at) AS since"
        " FROM fraud.stream_progress WHERE (detail->>'dropped_by_watermark')::bigint > 0 GROUP BY query ORDER BY query"
    ).fetchall()
    if found:
        first = found[0]
        text = f"{first['query']} dropped {first['dropped']} rows behind its watermark since {first['since']:%F %T %Z}"
        return Finding(False, text, {row["query"]: row["dropped"] for row in found})
    return Finding(True, "no query dropped a row behind its watermark")


_BRONZE = tuple(spec.full_name for spec in stream("bronze").tables)

INVARIANTS: Mapping[str, Mapping[str, Invariant]] = {
    **{
        name: {"offsets_contiguous": offsets_contiguous(name), "reaches_kafka": reaches_kafka(name)} for name in _BRONZE
    },
    "silver.transactions": {
        "nothing_lost": nothing_lost("bronze.transactions", "silver.transactions", "transaction_id"),
        "no_row_behind_the_watermark": no_row_behind_the_watermark,
    },
    "silver.labels": {"nothing_lost": nothing_lost("bronze.labels", "silver.labels", "transaction_id")},
    "silver.account_events": {
        "nothing_lost": nothing_lost("bronze.account_events", "silver.account_events", "event_id")
    },
    "silver.quarantine": {"share_within_limit": quarantine_share},
    "gold.fraud_decisions": {"every_transaction_decided": every_transaction_decided},
    "gold.fraud_alerts": {"match_database": alerts_match_database},
    "gold.transaction_metrics_minute": {"add_up": metrics_add_up("minute")},
    "gold.transaction_metrics_hour": {"add_up": metrics_add_up("hour")},
    "alerts.batch_ledger": {"explains_alerts": ledger_explains_alerts},
    "alerts.outbox": {"every_alert_queued": every_alert_queued},
    "mart.transaction_metrics_minute": {"match_gold": mart_matches_gold("minute")},
    "mart.transaction_metrics_hour": {"match_gold": mart_matches_gold("hour")},
}
"""By table and check name."""

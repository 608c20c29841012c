"""Figures over time for the charts: small statements on the shared views, never on all alerts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import LiteralString

from medallion_services.dashboard.database import Database, Row

PERIODS: dict[str, timedelta] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}


@dataclass(frozen=True, slots=True)
class Metric:
    """A statement that may use `since`, a moment; `fresh` seconds its answer may be kept."""

    query: LiteralString
    fresh: float = 5.0


def _alerts_by(column: LiteralString) -> Metric:
    query: LiteralString = (
        "SELECT " + column + " AS name, sum(alerts)::bigint AS alerts, sum(amount) AS amount"  # noqa: S608
        " FROM mart.v_alerts_by_hour WHERE hour >= date_trunc('hour', %(since)s) GROUP BY 1 ORDER BY 2 DESC LIMIT 30"
    )
    return Metric(query)


def _rate_by(dimension: LiteralString) -> Metric:
    """Alerts and traffic side by side; the rate is alerts of transactions."""
    query: LiteralString = (
        "WITH a AS (SELECT value, sum(alerts) AS alerts, sum(amount) AS alerted FROM mart.v_alerts_by_dimension"  # noqa: S608
        " WHERE dimension = '" + dimension + "' AND hour >= date_trunc('hour', %(since)s) GROUP BY 1),"
        " t AS (SELECT value, sum(transactions) AS transactions, sum(amount) AS amount FROM mart.v_traffic_by_hour"
        " WHERE dimension = '" + dimension + "' AND hour >= date_trunc('hour', %(since)s) GROUP BY 1)"
        " SELECT value AS name, coalesce(alerts, 0)::bigint AS alerts, coalesce(alerted, 0) AS amount,"
        " coalesce(transactions, 0)::bigint AS transactions, coalesce(t.amount, 0) AS volume,"
        " alerts / nullif(transactions, 0)::float8 AS rate"
        " FROM a FULL JOIN t USING (value) ORDER BY 2 DESC, 4 DESC, 1 LIMIT 30"
    )
    return Metric(query)


def _among_the_last(column: LiteralString, condition: LiteralString) -> Metric:
    """What no rollup holds, counted over the last 5,000 alerts of the period at most."""
    query: LiteralString = (
        "SELECT " + column + " AS name, count(*) AS alerts, sum(amount) AS amount FROM"  # noqa: S608
        " (SELECT merchant_id, amount FROM fraud.alerts WHERE detected_at >= %(since)s"
        " ORDER BY detected_at DESC, alert_id DESC LIMIT 5000) AS a WHERE " + condition + " GROUP BY 1"
        " ORDER BY 2 DESC, 1 LIMIT 10"
    )
    return Metric(query)


_AMOUNT_RANGE: LiteralString = (
    "CASE WHEN amount < 0 THEN '< 0' WHEN amount < 50 THEN '0-50' WHEN amount < 200 THEN '50-200'"
    " WHEN amount < 1000 THEN '200-1000' WHEN amount < 5000 THEN '1000-5000' ELSE '5000+' END"
)
METRICS: Mapping[str, Metric] = {
    "typology": _alerts_by("typology"),
    "level": _alerts_by("level"),
    "score_band": _alerts_by("score_band::text"),
    "channel": _rate_by("channel"),
    "type": _rate_by("type"),
    "state": _rate_by("state"),
    "category": _rate_by("category"),
    "country": _rate_by("country"),
    "route": Metric(
        "SELECT value AS name, sum(alerts)::bigint AS alerts, sum(amount) AS amount FROM mart.v_alerts_by_dimension"
        " WHERE dimension = 'route' AND hour >= date_trunc('hour', %(since)s) GROUP BY 1 ORDER BY 2 DESC LIMIT 20"
    ),
    "channel_type": Metric(
        "SELECT channel, type, sum(alerts)::bigint AS alerts FROM mart.v_alerts_by_hour"
        " WHERE hour >= date_trunc('hour', %(since)s) GROUP BY 1, 2 ORDER BY 1, 2"
    ),
    "merchants": _among_the_last("merchant_id", "merchant_id IS NOT NULL"),
    "amount_range": _among_the_last(_AMOUNT_RANGE, "true"),
    "answers": Metric(
        "SELECT x.name, x.alerts::bigint FROM (SELECT sum(approved) AS approved, sum(declined) AS declined"
        " FROM mart.v_traffic_by_hour WHERE dimension = 'all' AND hour >= date_trunc('hour', %(since)s)) AS t,"
        " LATERAL (VALUES ('approved', t.approved), ('declined', t.declined)) AS x(name, alerts) WHERE x.alerts > 0"
    ),
    "alerts_over_time": Metric(
        "SELECT hour AS at, level, sum(alerts)::bigint AS alerts FROM mart.v_alerts_by_hour"
        " WHERE hour >= date_trunc('hour', %(since)s) GROUP BY 1, 2 ORDER BY 1, 2"
    ),
    "rate_over_time": Metric(
        "WITH a AS (SELECT hour, sum(alerts) AS alerts FROM mart.v_alerts_by_hour"
        " WHERE hour >= date_trunc('hour', %(since)s) GROUP BY 1), t AS (SELECT hour, sum(transactions) AS transactions"
        " FROM mart.v_traffic_by_hour WHERE dimension = 'all' AND hour >= date_trunc('hour', %(since)s) GROUP BY 1)"
        " SELECT hour AS at, coalesce(alerts, 0)::bigint AS alerts, coalesce(transactions, 0)::bigint AS transactions,"
        " alerts / nullif(transactions, 0)::float8 AS rate FROM a FULL JOIN t USING (hour) ORDER BY 1"
    ),
    "traffic": Metric(
        "SELECT minute AS at, sum(transactions)::bigint AS transactions, sum(declined)::bigint AS declined,"
        " sum(late)::bigint AS late FROM mart.v_traffic_by_minute WHERE minute >= greatest(%(since)s,"
        " now() - interval '2 hours') GROUP BY 1 ORDER BY 1"
    ),
    "weekday_hour": Metric(
        "SELECT extract(isodow FROM hour)::integer AS weekday, extract(hour FROM hour)::integer AS hour,"
        " sum(alerts)::bigint AS alerts FROM mart.v_alerts_by_hour WHERE hour >= %(since)s GROUP BY 1, 2 ORDER BY 1, 2"
    ),
    "month": Metric(
        "SELECT date_trunc('month', hour)::date AS at, sum(transactions)::bigint AS transactions, currency,"
        " sum(amount) AS volume, sum(declined)::bigint AS declined FROM mart.v_traffic_by_hour"
        " WHERE dimension = 'all' AND hour > now() - interval '400 days' GROUP BY 1, 3 ORDER BY 1",
        fresh=60,
    ),
    "places": Metric(
        "SELECT a.alert_id, a.level, a.score, a.typology, x.latitude, x.longitude, x.merchant_name FROM"
        " (SELECT alert_id, level, score, typology FROM fraud.alerts WHERE detected_at >= %(since)s"
        " ORDER BY detected_at DESC, alert_id DESC LIMIT 1000) AS a JOIN fraud.alert_context x USING (alert_id)"
        " WHERE x.latitude IS NOT NULL AND x.longitude IS NOT NULL"
    ),
    "value_at_risk": Metric("SELECT currency, level, alerts, amount FROM mart.v_value_at_risk ORDER BY 1, 2", fresh=10),
    "queue_age": Metric("SELECT * FROM mart.v_queue_age", fresh=10),
    "open_queue": Metric("SELECT * FROM mart.v_open_queue", fresh=10),
    "top_subjects": Metric(
        "SELECT * FROM mart.v_top_subjects ORDER BY alerts DESC, top_score DESC, subject LIMIT 20", fresh=30
    ),
    "precision_by_level": Metric("SELECT * FROM mart.v_precision_by_level"),
    "dispositions": Metric(
        "SELECT disposition AS name, sum(alerts)::bigint AS alerts, sum(amount) AS amount FROM mart.v_dispositions"
        " WHERE event_date >= (%(since)s)::date GROUP BY 1 ORDER BY 2 DESC"
    ),
    "latency": Metric("SELECT minute AS at, alerts, p50_ms, p99_ms FROM mart.v_alert_latency ORDER BY 1"),
    "stream_minutes": Metric("SELECT * FROM mart.v_stream_minutes ORDER BY stream, minute"),
    "rule_hits": Metric(
        "SELECT event_date AS at, rule_id, hits::bigint AS hits, alerts::bigint AS alerts,"
        " shadow_hits::bigint AS shadow_hits FROM mart.v_rule_hits_daily"
        " WHERE event_date > current_date - 30 ORDER BY 1, 2",
        fresh=15,
    ),
}
"""Name in the API -> what is asked."""


async def ask(database: Database, name: str, period: str) -> list[Row]:
    """The rows of a metric over the last `period`; both must be known."""
    moment = "SELECT now() - %s AS since"
    since = await database.one(moment, (PERIODS[period],))
    return await database.rows(METRICS[name].query, {"since": since["since"] if since else None})


_HEADLINE: LiteralString = """
SELECT (SELECT coalesce(sum(transactions), 0)::bigint FROM mart.v_traffic_by_hour
        WHERE dimension = 'all' AND hour >= date_trunc('hour', now() - %(period)s)) AS transactions,
       (SELECT coalesce(sum(alerts), 0)::bigint FROM mart.v_alerts_by_hour
        WHERE hour >= date_trunc('hour', now() - %(period)s)) AS alerts,
       (SELECT coalesce(sum(alerts) FILTER (WHERE level = 'critical'), 0)::bigint FROM mart.v_alerts_by_hour
        WHERE hour >= date_trunc('hour', now() - %(period)s)) AS critical,
       (SELECT coalesce(sum(alerts) FILTER (WHERE disposition = 'confirmed_fraud'), 0)::bigint FROM mart.v_dispositions
        WHERE event_date >= (now() - %(period)s)::date) AS confirmed,
       (SELECT coalesce(sum(alerts) FILTER (WHERE disposition IN ('false_positive', 'verified')), 0)::bigint
        FROM mart.v_dispositions WHERE event_date >= (now() - %(period)s)::date) AS refuted,
       (SELECT min(detected_at) FROM fraud.alerts WHERE status = 'new' AND status <> 'closed'
        AND detected_at > now() - interval '30 days') AS oldest_new
"""
_VOLUME: LiteralString = """
SELECT currency, sum(amount) AS amount FROM mart.v_traffic_by_hour
WHERE dimension = 'all' AND hour >= date_trunc('hour', now() - %s) GROUP BY 1 ORDER BY 2 DESC
"""


async def headline(database: Database, period: str) -> Row:
    """The figures at the top of the overview."""
    row = await database.one(_HEADLINE, {"period": PERIODS[period]}) or {}
    row["volume"] = await database.rows(_VOLUME, (PERIODS[period],))
    return row

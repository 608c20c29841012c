"""More views that dashboards share: newest alerts and their reasons, busy subjects, freshness, messages, operations."""

from alembic import op

revision = "0009"
down_revision = "0008"

STATEMENTS = """
-- What no rollup holds is shown of the newest alerts only: a card must not read them all.
CREATE VIEW mart.v_recent_alerts AS
SELECT a.alert_id, a.detected_at, a.event_time, a.subject_kind, a.subject, a.customer_id, a.merchant_id,
       x.merchant_name, x.state, x.merchant_country, a.type, a.channel, a.amount, a.currency, a.score, a.level,
       a.typology, a.status, a.disposition
FROM (SELECT * FROM fraud.alerts ORDER BY detected_at DESC, alert_id DESC LIMIT 5000) AS a
LEFT JOIN fraud.alert_context x USING (alert_id);

CREATE VIEW mart.v_recent_reasons AS
SELECT a.alert_id, a.detected_at, a.level, a.disposition, r ->> 'rule_id' AS rule_id, r ->> 'title' AS title,
       (r ->> 'contribution')::float8 AS points
FROM (SELECT * FROM fraud.alerts ORDER BY detected_at DESC, alert_id DESC LIMIT 1000) AS a,
     jsonb_array_elements(a.reasons) AS r
WHERE (r ->> 'contribution')::float8 > 0;

CREATE VIEW mart.v_busy_subjects AS
SELECT subject_kind, subject, count(*) AS alerts, max(score) AS top_score, count(DISTINCT typology) AS typologies,
       max(detected_at) AS last_alert_at
FROM fraud.alerts WHERE detected_at > now() - interval '24 hours'
GROUP BY subject_kind, subject HAVING count(*) > 3;

CREATE VIEW mart.v_freshness AS
SELECT name, newest, extract(epoch FROM now() - newest)::float8 AS age_seconds FROM (VALUES
    ('alerts.alerts', (SELECT max(detected_at) FROM fraud.alerts)),
    ('mart.transaction_metrics_minute', (SELECT max(window_start) FROM mart.transaction_metrics_minute)),
    ('mart.transaction_metrics_hour', (SELECT max(window_start) FROM mart.transaction_metrics_hour)),
    ('mart.alerts_hourly', (SELECT max(hour) FROM mart.alerts_hourly)),
    ('mart.rule_metrics_daily', (SELECT max(event_date)::timestamp AT TIME ZONE 'UTC' FROM mart.rule_metrics_daily))
) AS t(name, newest);

-- Sent messages are many and tell nothing; both states here have an index of their own.
CREATE VIEW mart.v_messages AS
SELECT channel, status, count(*) AS messages, min(created_at) AS oldest FROM fraud.outbox WHERE status = 'pending'
GROUP BY channel, status
UNION ALL
SELECT channel, status, count(*), min(created_at) FROM fraud.outbox WHERE status = 'dead' GROUP BY channel, status;

CREATE VIEW mart.v_operations AS
SELECT key, severity, title, page, first_seen, last_seen, count AS times
FROM fraud.ops_alerts WHERE resolved_at IS NULL;

GRANT SELECT ON mart.v_recent_alerts, mart.v_recent_reasons, mart.v_busy_subjects, mart.v_freshness, mart.v_messages,
    mart.v_operations TO fraud_reader, fraud_desk;
"""


def upgrade() -> None:
    """Create the views."""
    op.get_bind().exec_driver_sql(STATEMENTS)

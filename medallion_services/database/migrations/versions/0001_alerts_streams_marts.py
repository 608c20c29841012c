"""Alerts with ledger and outbox, stream control, marts, and who may do what."""

from alembic import op

revision = "0001"
down_revision = None

ALERTS = """
CREATE SCHEMA fraud;
CREATE TABLE fraud.alerts (
    alert_id text PRIMARY KEY,
    transaction_id text NOT NULL,
    customer_id text NOT NULL,
    card_token text,
    card_last4 text CHECK (card_last4 ~ '^[0-9]{4}$'),
    merchant_id text,
    event_time timestamptz NOT NULL,
    amount numeric(18, 4) NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    type text NOT NULL,
    channel text NOT NULL,
    score double precision NOT NULL CHECK (score BETWEEN 0 AND 100),
    level text NOT NULL CHECK (level IN ('low', 'medium', 'high', 'critical')),
    typology text NOT NULL,
    rule_set_version text NOT NULL,
    reasons jsonb NOT NULL CHECK (jsonb_typeof(reasons) = 'array' AND jsonb_array_length(reasons) > 0),
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    kafka_timestamp timestamptz NOT NULL,
    detected_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    status text NOT NULL DEFAULT 'new'
        CHECK (status IN ('new', 'in_review', 'escalated', 'waiting_customer', 'closed'))
);
CREATE UNIQUE INDEX alerts_transaction ON fraud.alerts (transaction_id);
CREATE INDEX alerts_customer ON fraud.alerts (customer_id, event_time DESC);
CREATE INDEX alerts_queue ON fraud.alerts (score DESC, detected_at) WHERE status <> 'closed';
CREATE INDEX alerts_detected ON fraud.alerts (detected_at DESC);
CREATE INDEX alerts_position ON fraud.alerts (topic, partition, "offset");

CREATE TABLE fraud.batch_ledger (
    stream text NOT NULL,
    generation text NOT NULL,
    batch_id bigint NOT NULL,
    epoch bigint NOT NULL,
    alerts integer NOT NULL,
    payload_sha256 text NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream, generation, batch_id)
);

CREATE TABLE fraud.notification_route (
    channel text NOT NULL,
    recipient text NOT NULL,
    min_score double precision NOT NULL DEFAULT 0,
    enabled boolean NOT NULL DEFAULT true,
    PRIMARY KEY (channel, recipient)
);
INSERT INTO fraud.notification_route (channel, recipient) VALUES ('desk', 'team:fraud');

CREATE TABLE fraud.outbox (
    outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id text NOT NULL REFERENCES fraud.alerts,
    channel text NOT NULL,
    recipient text NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sent', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until timestamptz,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (alert_id, channel, recipient)
);
CREATE INDEX outbox_due ON fraud.outbox (next_attempt_at) WHERE status = 'pending';
"""

STREAMS = """
CREATE TABLE fraud.stream_lease (
    stream text PRIMARY KEY,
    epoch bigint NOT NULL,
    holder text NOT NULL,
    acquired_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE fraud.stream_control (
    application text PRIMARY KEY,
    desired text NOT NULL DEFAULT 'running' CHECK (desired IN ('running', 'stopped')),
    generation bigint NOT NULL DEFAULT 1,
    reason text NOT NULL DEFAULT '',
    updated_by text NOT NULL DEFAULT 'system',
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE fraud.stream_heartbeat (
    stream text PRIMARY KEY,
    application text NOT NULL,
    generation text NOT NULL,
    host text NOT NULL,
    driver_pid integer NOT NULL,
    run_id text NOT NULL DEFAULT '',
    started_at timestamptz NOT NULL,
    beat_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('starting', 'running', 'stopped', 'failed')),
    batch_id bigint,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE fraud.stream_progress (
    stream text NOT NULL,
    query text NOT NULL,
    batch_id bigint NOT NULL,
    at timestamptz NOT NULL,
    input_rows bigint NOT NULL,
    rows_per_second double precision NOT NULL,
    batch_ms double precision NOT NULL,
    lag_rows bigint,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX stream_progress_recent ON fraud.stream_progress (stream, at DESC);
"""

_METRICS = """
CREATE TABLE mart.transaction_metrics_{span} (
    window_start timestamptz NOT NULL,
    dimension text NOT NULL,
    value text NOT NULL,
    currency text NOT NULL,
    transactions bigint NOT NULL,
    approved bigint NOT NULL,
    declined bigint NOT NULL,
    refunds bigint NOT NULL,
    late bigint NOT NULL,
    amount numeric(28, 4) NOT NULL,
    refund_amount numeric(28, 4) NOT NULL,
    PRIMARY KEY (window_start, dimension, value, currency)
);
"""

MARTS = (
    "CREATE SCHEMA mart;"
    + _METRICS.format(span="minute")
    + _METRICS.format(span="hour")
    + """
CREATE TABLE mart.rule_metrics_daily (
    event_date date NOT NULL,
    rule_id text NOT NULL,
    rule_version text NOT NULL,
    hits bigint NOT NULL,
    alerts bigint NOT NULL,
    shadow_hits bigint NOT NULL,
    points double precision NOT NULL,
    PRIMARY KEY (event_date, rule_id, rule_version)
);
"""
)

GRANTS = """
GRANT USAGE ON SCHEMA fraud TO fraud_writer, fraud_reader, fraud_notifier;
GRANT USAGE ON SCHEMA mart TO fraud_writer, fraud_reader;
GRANT SELECT, INSERT ON fraud.alerts, fraud.batch_ledger, fraud.outbox, fraud.stream_progress TO fraud_writer;
GRANT DELETE ON fraud.stream_progress TO fraud_writer;
GRANT SELECT ON fraud.notification_route TO fraud_writer, fraud_notifier;
GRANT SELECT, INSERT, UPDATE ON fraud.stream_lease, fraud.stream_control, fraud.stream_heartbeat TO fraud_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA mart TO fraud_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA fraud TO fraud_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA mart TO fraud_reader;
GRANT SELECT ON fraud.alerts TO fraud_notifier;
GRANT SELECT, UPDATE ON fraud.outbox TO fraud_notifier;
"""


def upgrade() -> None:
    """Create the schemas and hand out the least that each role needs."""
    for statements in (ALERTS, STREAMS, MARTS, GRANTS):
        op.get_bind().exec_driver_sql(statements)

-- What analysts do with alerts: cases, snoozes, context, audit trail, labels on their way to Kafka.
CREATE TABLE fraud.cases (
    case_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject_kind text NOT NULL CHECK (subject_kind IN ('customer', 'device', 'merchant', 'terminal', 'ip')),
    subject text NOT NULL,
    typology text NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
    top_score double precision NOT NULL,
    alerts integer NOT NULL DEFAULT 0,
    open_alerts integer NOT NULL DEFAULT 0,
    amount numeric(28, 4) NOT NULL DEFAULT 0,
    currency text NOT NULL,
    assigned_to text,
    version integer NOT NULL DEFAULT 1,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_alert_at timestamptz NOT NULL,
    closed_at timestamptz
);
-- One open case an entity and typology; further alerts join it.
CREATE UNIQUE INDEX cases_one_open ON fraud.cases (subject_kind, subject, typology) WHERE status = 'open';
CREATE INDEX cases_queue ON fraud.cases (status, top_score DESC, case_id DESC);
CREATE INDEX cases_most ON fraud.cases (alerts DESC, case_id DESC);
CREATE INDEX cases_recent ON fraud.cases (status, last_alert_at DESC, case_id DESC);

ALTER TABLE fraud.alerts
    ADD COLUMN case_id bigint REFERENCES fraud.cases,
    ADD COLUMN assigned_to text,
    ADD COLUMN disposition text
        CHECK (disposition IN ('confirmed_fraud', 'false_positive', 'verified', 'duplicate', 'inconclusive')),
    ADD COLUMN snoozed_until timestamptz,
    ADD COLUMN version integer NOT NULL DEFAULT 1,
    ADD COLUMN updated_at timestamptz,
    ADD COLUMN updated_by text,
    ADD CONSTRAINT alerts_disposition_when_closed CHECK ((status = 'closed') = (disposition IS NOT NULL));

-- Each order of the queue has an index whose second column makes it total, for pages by key.
DROP INDEX fraud.alerts_queue;
CREATE INDEX alerts_queue ON fraud.alerts (score DESC, alert_id DESC) WHERE status <> 'closed';
CREATE INDEX alerts_queue_age ON fraud.alerts (detected_at DESC, alert_id DESC) WHERE status <> 'closed';
CREATE INDEX alerts_queue_value ON fraud.alerts (amount DESC, alert_id DESC) WHERE status <> 'closed';
CREATE INDEX alerts_queue_typology ON fraud.alerts (typology, score DESC, alert_id DESC) WHERE status <> 'closed';
CREATE INDEX alerts_queue_level ON fraud.alerts (level, score DESC, alert_id DESC) WHERE status <> 'closed';
CREATE INDEX alerts_queue_status ON fraud.alerts (status, score DESC, alert_id DESC) WHERE status <> 'closed';
CREATE INDEX alerts_assigned ON fraud.alerts (assigned_to, score DESC, alert_id DESC)
    WHERE status <> 'closed' AND assigned_to IS NOT NULL;
CREATE INDEX alerts_closed ON fraud.alerts (detected_at DESC, alert_id DESC) WHERE status = 'closed';
CREATE INDEX alerts_snoozed ON fraud.alerts (snoozed_until) WHERE snoozed_until IS NOT NULL AND status <> 'closed';
CREATE INDEX alerts_not_adopted ON fraud.alerts (detected_at, alert_id) WHERE case_id IS NULL;
CREATE INDEX alerts_case ON fraud.alerts (case_id, detected_at DESC) WHERE case_id IS NOT NULL;
CREATE INDEX alerts_merchant ON fraud.alerts (merchant_id, detected_at DESC) WHERE merchant_id IS NOT NULL;
CREATE INDEX alerts_card ON fraud.alerts (card_token, detected_at DESC) WHERE card_token IS NOT NULL;
DROP INDEX fraud.alerts_detected;
CREATE INDEX alerts_detected ON fraud.alerts (detected_at DESC, alert_id DESC);
CREATE INDEX alerts_value_at_risk ON fraud.alerts (currency, level) INCLUDE (amount, snoozed_until, detected_at)
    WHERE status <> 'closed';

-- What the message says beyond the alert's own columns; read once from its position in Kafka by the desk.
CREATE TABLE fraud.alert_context (
    alert_id text PRIMARY KEY REFERENCES fraud.alerts,
    found boolean NOT NULL,
    device_id text,
    terminal_id text,
    ip_address text,
    merchant_name text,
    merchant_country text,
    mcc text,
    state text,
    place text,
    latitude double precision,
    longitude double precision,
    home_latitude double precision,
    home_longitude double precision,
    read_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX alert_context_device ON fraud.alert_context (device_id) WHERE device_id IS NOT NULL;
CREATE INDEX alert_context_terminal ON fraud.alert_context (terminal_id) WHERE terminal_id IS NOT NULL;
CREATE INDEX alert_context_ip ON fraud.alert_context (ip_address) WHERE ip_address IS NOT NULL;

CREATE TABLE fraud.snoozes (
    snooze_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id text NOT NULL,
    subject_kind text NOT NULL,
    subject text NOT NULL,
    until timestamptz NOT NULL,
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 2000),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    ended_by text,
    CHECK (until > created_at)
);
CREATE INDEX snoozes_of ON fraud.snoozes (subject_kind, subject) WHERE ended_at IS NULL;

CREATE TABLE fraud.alert_event (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    alert_id text REFERENCES fraud.alerts,
    case_id bigint REFERENCES fraud.cases,
    actor text NOT NULL,
    action text NOT NULL,
    previous jsonb NOT NULL DEFAULT '{}',
    new jsonb NOT NULL DEFAULT '{}',
    note text NOT NULL DEFAULT '' CHECK (length(note) <= 4000)
);
CREATE INDEX alert_event_alert ON fraud.alert_event (alert_id, event_id);
CREATE INDEX alert_event_case ON fraud.alert_event (case_id, event_id);
CREATE TRIGGER alert_event_append_only BEFORE UPDATE OR DELETE ON fraud.alert_event
    FOR EACH ROW EXECUTE FUNCTION fraud.refuse_change();
CREATE TRIGGER alert_event_no_truncate BEFORE TRUNCATE ON fraud.alert_event
    FOR EACH STATEMENT EXECUTE FUNCTION fraud.refuse_change();

CREATE TABLE fraud.label_outbox (
    label_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id text NOT NULL REFERENCES fraud.alerts,
    transaction_id text NOT NULL,
    label text NOT NULL CHECK (label IN ('fraud', 'legit')),
    fraud_type text,
    label_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    last_error text
);
CREATE INDEX label_outbox_waiting ON fraud.label_outbox (label_id) WHERE sent_at IS NULL;

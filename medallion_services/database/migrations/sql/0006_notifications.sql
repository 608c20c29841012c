-- A route says who is told; the stream writes its rows by min_score, the notifier decides the rest when it picks one up.
ALTER TABLE fraud.notification_route
    ADD COLUMN min_level text CHECK (min_level IN ('low', 'medium', 'high', 'critical')),
    ADD COLUMN typologies text[] NOT NULL DEFAULT '{}',
    ADD COLUMN min_amount numeric(18, 4),
    ADD COLUMN language text NOT NULL DEFAULT 'en' CHECK (language IN ('en', 'pt')),
    ADD COLUMN time_zone text NOT NULL DEFAULT 'UTC',
    ADD COLUMN quiet_from time,
    ADD COLUMN quiet_until time,
    ADD COLUMN quiet_except text NOT NULL DEFAULT 'critical' CHECK (quiet_except IN ('low', 'medium', 'high', 'critical')),
    ADD COLUMN cooldown interval NOT NULL DEFAULT '0',
    ADD COLUMN digest_above integer CHECK (digest_above >= 0),
    ADD COLUMN escalate_after interval CHECK (escalate_after > interval '0'),
    ADD COLUMN escalate_channel text,
    ADD COLUMN escalate_recipient text,
    ADD COLUMN operations boolean NOT NULL DEFAULT false,
    ADD CHECK (min_score >= 0),
    ADD CHECK ((quiet_from IS NULL) = (quiet_until IS NULL)),
    ADD CHECK (num_nulls(escalate_after, escalate_channel, escalate_recipient) IN (0, 3));
UPDATE fraud.notification_route SET operations = true WHERE channel = 'desk';

CREATE TABLE fraud.ops_alerts (
    ops_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    title text NOT NULL,
    body text NOT NULL,
    page text NOT NULL CHECK (page ~ '^[a-z0-9-]+$'),
    first_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    count bigint NOT NULL DEFAULT 1,
    resolved_at timestamptz
);
CREATE UNIQUE INDEX ops_alerts_open ON fraud.ops_alerts (key) WHERE resolved_at IS NULL;

-- A row tells of a fraud alert or of an operations alert. `decision` is made once, so that trying again sends the same.
ALTER TABLE fraud.outbox
    ALTER COLUMN alert_id DROP NOT NULL,
    ADD COLUMN ops_id bigint REFERENCES fraud.ops_alerts,
    ADD COLUMN escalation boolean NOT NULL DEFAULT false,
    ADD COLUMN decision text CHECK (decision IN ('send', 'digest', 'skip')),
    ADD COLUMN digest_at timestamptz,
    ADD COLUMN digest_of bigint REFERENCES fraud.outbox,
    ADD COLUMN sent_at timestamptz,
    ADD CHECK (num_nonnulls(alert_id, ops_id) = 1),
    ADD UNIQUE (ops_id, channel, recipient),
    DROP CONSTRAINT outbox_status_check,
    ADD CONSTRAINT outbox_status_check CHECK (status IN ('pending', 'sent', 'dead', 'skipped'));
CREATE INDEX outbox_digest ON fraud.outbox (channel, recipient, digest_at) WHERE status = 'pending' AND digest_at IS NOT NULL;
CREATE INDEX outbox_members ON fraud.outbox (digest_of) WHERE digest_of IS NOT NULL;
CREATE INDEX outbox_dead ON fraud.outbox (outbox_id) WHERE status = 'dead';

-- The endpoint is a capability: who knows it can send to the phone. Only the desk and the notifier may read it.
CREATE TABLE fraud.push_subscriptions (
    subscription_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipient text NOT NULL,
    endpoint text NOT NULL UNIQUE CHECK (length(endpoint) <= 2000),
    p256dh text NOT NULL,
    auth text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Somebody else is told only while nobody has taken the alert, and only once.
CREATE FUNCTION fraud.escalate(alert text, to_channel text, to_recipient text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE made integer;
BEGIN
    INSERT INTO fraud.outbox (alert_id, channel, recipient, escalation)
    SELECT a.alert_id, to_channel, to_recipient, true FROM fraud.alerts a
    JOIN fraud.notification_route r
        ON r.enabled AND r.escalate_channel = to_channel AND r.escalate_recipient = to_recipient
    JOIN fraud.outbox o ON o.alert_id = a.alert_id AND o.channel = r.channel AND o.recipient = r.recipient
    WHERE a.alert_id = alert AND a.status = 'new' AND o.status <> 'skipped' AND NOT o.escalation
        AND a.detected_at <= clock_timestamp() - r.escalate_after
    LIMIT 1 ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made > 0;
END $$;

REVOKE UPDATE ON fraud.outbox FROM fraud_notifier;
GRANT UPDATE (status, attempts, next_attempt_at, lease_until, last_error, decision, digest_at, digest_of, sent_at)
    ON fraud.outbox TO fraud_notifier;
GRANT SELECT ON fraud.ops_alerts, fraud.push_subscriptions, fraud.stream_heartbeat, fraud.stream_control
    TO fraud_notifier;
GRANT DELETE ON fraud.push_subscriptions TO fraud_notifier;
GRANT SELECT, INSERT, DELETE ON fraud.push_subscriptions TO fraud_desk;
GRANT SELECT ON fraud.ops_alerts TO fraud_reader, fraud_desk, fraud_writer;
GRANT SELECT ON fraud.notification_route TO fraud_desk;
REVOKE EXECUTE ON FUNCTION fraud.escalate(text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fraud.escalate(text, text, text) TO fraud_notifier;

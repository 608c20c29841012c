-- One open alert a cause. Seen again within the cooldown it is counted; after it, it is a new alert and told anew.
CREATE FUNCTION fraud.raise_ops_alert(
    cause text, how_bad text, headline text, what text, runbook text, cooldown interval
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE made bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('ops_alert:' || cause, 0));
    UPDATE fraud.ops_alerts SET count = count + 1, last_seen = clock_timestamp(), body = what
    WHERE key = cause AND resolved_at IS NULL AND last_seen > clock_timestamp() - cooldown;
    IF FOUND THEN
        RETURN false;
    END IF;
    UPDATE fraud.ops_alerts SET resolved_at = clock_timestamp() WHERE key = cause AND resolved_at IS NULL;
    INSERT INTO fraud.ops_alerts (key, severity, title, body, page)
    VALUES (cause, how_bad, headline, what, runbook) RETURNING ops_id INTO made;
    INSERT INTO fraud.outbox (ops_id, channel, recipient)
    SELECT made, r.channel, r.recipient FROM fraud.notification_route r WHERE r.enabled AND r.operations;
    PERFORM pg_notify('fraud_alerts', '0');
    RETURN true;
END $$;

CREATE FUNCTION fraud.resolve_ops_alert(cause text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE fraud.ops_alerts SET resolved_at = clock_timestamp() WHERE key = cause AND resolved_at IS NULL;
    RETURN FOUND;
END $$;

REVOKE EXECUTE ON FUNCTION fraud.raise_ops_alert(text, text, text, text, text, interval),
    fraud.resolve_ops_alert(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fraud.raise_ops_alert(text, text, text, text, text, interval),
    fraud.resolve_ops_alert(text) TO fraud_writer, fraud_notifier;

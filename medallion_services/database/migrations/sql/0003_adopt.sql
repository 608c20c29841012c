-- New alerts are taken up by the desk after their commit, so that the alert sink pays nothing for it.
CREATE TABLE mart.alerts_hourly (
    hour timestamptz NOT NULL,
    typology text NOT NULL,
    level text NOT NULL,
    channel text NOT NULL,
    type text NOT NULL,
    currency text NOT NULL,
    score_band integer NOT NULL,
    alerts bigint NOT NULL,
    snoozed bigint NOT NULL,
    amount numeric(28, 4) NOT NULL,
    PRIMARY KEY (hour, typology, level, channel, type, currency, score_band)
);
-- By what the message says: state, category (MCC), country, and route (state of the customer > where it was spent).
CREATE TABLE mart.alerts_dimension_hourly (
    hour timestamptz NOT NULL,
    dimension text NOT NULL,
    value text NOT NULL,
    currency text NOT NULL,
    alerts bigint NOT NULL,
    amount numeric(28, 4) NOT NULL,
    PRIMARY KEY (hour, dimension, value, currency)
);

-- Until when an alert is hidden: only if every rule that added points is snoozed for its subject.
CREATE FUNCTION fraud.snoozed_until(a fraud.alerts) RETURNS timestamptz LANGUAGE sql STABLE
    SET search_path = pg_catalog, fraud, pg_temp AS $$
    SELECT CASE WHEN bool_and(s.until IS NOT NULL) THEN min(s.until) END
    FROM jsonb_array_elements(a.reasons) AS r
    LEFT JOIN LATERAL (
        SELECT max(z.until) AS until FROM fraud.snoozes z
        WHERE z.rule_id = r ->> 'rule_id' AND z.subject_kind = a.subject_kind AND z.subject = a.subject
          AND z.ended_at IS NULL AND z.until > clock_timestamp()
    ) AS s ON true
    WHERE coalesce((r ->> 'contribution')::float8, 0) > 0;
$$;

CREATE FUNCTION fraud.adopt_alerts(at_most integer) RETURNS integer LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, fraud, pg_temp AS $$
DECLARE
    ids text[];
    asleep timestamptz[];
BEGIN
    -- One at a time: two desks would meet at the same case.
    PERFORM pg_advisory_xact_lock(hashtext('fraud.adopt_alerts'));
    SELECT array_agg(n.alert_id), array_agg(n.until) INTO ids, asleep FROM (
        SELECT a.alert_id, CASE WHEN EXISTS (
            SELECT FROM fraud.snoozes z WHERE z.subject_kind = a.subject_kind AND z.subject = a.subject
            AND z.ended_at IS NULL AND z.until > clock_timestamp()) THEN fraud.snoozed_until(a) END AS until
        FROM fraud.alerts a WHERE a.case_id IS NULL ORDER BY a.detected_at, a.alert_id LIMIT at_most FOR UPDATE) AS n;
    IF ids IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO fraud.cases AS c (subject_kind, subject, typology, top_score, alerts, open_alerts, amount, currency,
                                  last_alert_at)
    SELECT a.subject_kind, a.subject, a.typology, max(a.score), count(*), count(*) FILTER (WHERE a.status <> 'closed'),
           sum(a.amount), min(a.currency), max(a.detected_at)
    FROM fraud.alerts a WHERE a.alert_id = ANY (ids) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (subject_kind, subject, typology) WHERE status = 'open' DO UPDATE SET
        top_score = greatest(c.top_score, EXCLUDED.top_score), alerts = c.alerts + EXCLUDED.alerts,
        open_alerts = c.open_alerts + EXCLUDED.open_alerts, amount = c.amount + EXCLUDED.amount,
        last_alert_at = greatest(c.last_alert_at, EXCLUDED.last_alert_at);
    UPDATE fraud.alerts a SET case_id = c.case_id, snoozed_until = n.until
    FROM unnest(ids, asleep) AS n(alert_id, until), fraud.cases c
    WHERE a.alert_id = n.alert_id AND c.status = 'open' AND c.subject_kind = a.subject_kind
      AND c.subject = a.subject AND c.typology = a.typology;
    -- All of them were closed before they were taken up.
    UPDATE fraud.cases c SET status = 'closed', closed_at = clock_timestamp()
    WHERE c.status = 'open' AND c.open_alerts = 0
      AND c.case_id IN (SELECT a.case_id FROM fraud.alerts a WHERE a.alert_id = ANY (ids));
    INSERT INTO mart.alerts_hourly AS t
    SELECT date_trunc('hour', a.detected_at, 'UTC'), a.typology, a.level, a.channel, a.type, a.currency,
           10 * floor(least(a.score, 99) / 10)::integer, count(*), count(n.until), sum(a.amount)
    FROM unnest(ids, asleep) AS n(alert_id, until) JOIN fraud.alerts a USING (alert_id) GROUP BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (hour, typology, level, channel, type, currency, score_band) DO UPDATE SET
        alerts = t.alerts + EXCLUDED.alerts, snoozed = t.snoozed + EXCLUDED.snoozed, amount = t.amount + EXCLUDED.amount;
    RETURN cardinality(ids);
END $$;

CREATE FUNCTION fraud.record_context(rows jsonb) RETURNS integer LANGUAGE sql
    SECURITY DEFINER SET search_path = pg_catalog, fraud, pg_temp AS $$
    WITH fresh AS (
        INSERT INTO fraud.alert_context
        SELECT x.alert_id, x.found, x.device_id, x.terminal_id, x.ip_address, x.merchant_name, x.merchant_country, x.mcc,
               x.state, x.place, x.latitude, x.longitude, x.home_latitude, x.home_longitude, clock_timestamp()
        FROM jsonb_populate_recordset(NULL::fraud.alert_context, rows) AS x
        JOIN fraud.alerts a ON a.alert_id = x.alert_id
        ON CONFLICT DO NOTHING RETURNING *
    ), counted AS (
        INSERT INTO mart.alerts_dimension_hourly AS t
        SELECT date_trunc('hour', a.detected_at, 'UTC'), d.dimension, coalesce(d.value, 'unknown'), a.currency, count(*),
               sum(a.amount)
        FROM fresh f JOIN fraud.alerts a USING (alert_id) CROSS JOIN LATERAL (VALUES
            ('state', f.state), ('category', f.mcc), ('country', f.merchant_country),
            ('route', f.state || ' > ' || coalesce(f.place, 'unknown'))) AS d(dimension, value)
        GROUP BY 1, 2, 3, 4
        ON CONFLICT (hour, dimension, value, currency) DO UPDATE SET
            alerts = t.alerts + EXCLUDED.alerts, amount = t.amount + EXCLUDED.amount
    )
    SELECT count(*)::integer FROM fresh;
$$;

CREATE FUNCTION fraud.snooze(rule text, kind text, entity text, ends timestamptz, why text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, fraud, pg_temp AS $$
DECLARE made bigint;
BEGIN
    INSERT INTO fraud.snoozes (rule_id, subject_kind, subject, until, reason, created_by)
    VALUES (rule, kind, entity, ends, why, fraud.acting()) RETURNING snooze_id INTO made;
    UPDATE fraud.alerts a SET snoozed_until = fraud.snoozed_until(a)
    WHERE a.subject_kind = kind AND a.subject = entity AND a.status <> 'closed';
    INSERT INTO fraud.alert_event (actor, action, new, note) VALUES (fraud.acting(), 'snoozed', jsonb_build_object(
        'snooze_id', made, 'rule_id', rule, 'subject_kind', kind, 'subject', entity, 'until', ends), why);
    RETURN made;
END $$;

CREATE FUNCTION fraud.end_snooze(which bigint) RETURNS boolean LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, fraud, pg_temp AS $$
DECLARE ended fraud.snoozes;
BEGIN
    UPDATE fraud.snoozes SET ended_at = clock_timestamp(), ended_by = fraud.acting()
    WHERE snooze_id = which AND ended_at IS NULL RETURNING * INTO ended;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE fraud.alerts a SET snoozed_until = fraud.snoozed_until(a)
    WHERE a.subject_kind = ended.subject_kind AND a.subject = ended.subject AND a.status <> 'closed';
    INSERT INTO fraud.alert_event (actor, action, previous) VALUES (fraud.acting(), 'snooze_ended', jsonb_build_object(
        'snooze_id', which, 'rule_id', ended.rule_id, 'subject_kind', ended.subject_kind, 'subject', ended.subject));
    RETURN true;
END $$;

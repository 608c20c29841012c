-- The state machine, the audit trail and what follows from closing, kept by the database itself.
CREATE TABLE fraud.alert_transitions (previous text NOT NULL, next text NOT NULL, PRIMARY KEY (previous, next));
INSERT INTO fraud.alert_transitions (previous, next) VALUES
    ('new', 'in_review'), ('new', 'closed'),
    ('in_review', 'escalated'), ('in_review', 'waiting_customer'), ('in_review', 'closed'),
    ('escalated', 'in_review'), ('escalated', 'waiting_customer'), ('escalated', 'closed'),
    ('waiting_customer', 'in_review'), ('waiting_customer', 'escalated'), ('waiting_customer', 'closed'),
    ('closed', 'in_review');

-- Who acts is said by the session (fraud.actor); without it no work can be changed, so no change goes unrecorded.
CREATE FUNCTION fraud.acting() RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE who text := coalesce(current_setting('fraud.actor', true), '');
BEGIN
    IF who = '' THEN
        RAISE EXCEPTION 'set fraud.actor: a change without an actor is refused' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN who;
END $$;

CREATE FUNCTION fraud.check_alert_change() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, fraud, pg_temp AS $$
BEGIN
    IF (NEW.status, NEW.assigned_to, NEW.disposition) IS NOT DISTINCT FROM (OLD.status, OLD.assigned_to, OLD.disposition)
    THEN
        RETURN NEW;
    END IF;
    IF NEW.status <> OLD.status THEN
        IF NOT EXISTS (SELECT FROM fraud.alert_transitions t WHERE t.previous = OLD.status AND t.next = NEW.status) THEN
            RAISE EXCEPTION 'an alert cannot go from % to %', OLD.status, NEW.status USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.status <> 'closed' THEN
            NEW.disposition := NULL;
        END IF;
    ELSIF OLD.status = 'closed' THEN
        RAISE EXCEPTION 'a closed alert is changed by reopening it' USING ERRCODE = 'check_violation';
    END IF;
    NEW.version := OLD.version + 1;
    NEW.updated_at := clock_timestamp();
    NEW.updated_by := fraud.acting();
    RETURN NEW;
END $$;
CREATE TRIGGER alerts_change BEFORE UPDATE OF status, assigned_to, disposition ON fraud.alerts
    FOR EACH ROW EXECUTE FUNCTION fraud.check_alert_change();

-- A disposition counts for each rule that added points, by the day of the event.
CREATE TABLE mart.rule_outcomes_daily (
    event_date date NOT NULL,
    rule_id text NOT NULL,
    disposition text NOT NULL,
    alerts bigint NOT NULL,
    PRIMARY KEY (event_date, rule_id, disposition)
);
CREATE TABLE mart.dispositions_daily (
    event_date date NOT NULL,
    typology text NOT NULL,
    level text NOT NULL,
    currency text NOT NULL,
    disposition text NOT NULL,
    alerts bigint NOT NULL,
    amount numeric(28, 4) NOT NULL,
    PRIMARY KEY (event_date, typology, level, currency, disposition)
);

CREATE FUNCTION fraud.count_outcome(a fraud.alerts, what text, step integer) RETURNS void LANGUAGE sql
    SECURITY DEFINER SET search_path = pg_catalog, fraud, pg_temp AS $$
    INSERT INTO mart.rule_outcomes_daily AS t
    SELECT DISTINCT (a.event_time AT TIME ZONE 'UTC')::date, r ->> 'rule_id', what, step
    FROM jsonb_array_elements(a.reasons) AS r
    WHERE (r ->> 'contribution')::float8 > 0 AND r ->> 'rule_id' IS NOT NULL
    ORDER BY 2
    ON CONFLICT (event_date, rule_id, disposition) DO UPDATE SET alerts = t.alerts + EXCLUDED.alerts;
    INSERT INTO mart.dispositions_daily AS t
    VALUES ((a.event_time AT TIME ZONE 'UTC')::date, a.typology, a.level, a.currency, what, step, step * a.amount)
    ON CONFLICT (event_date, typology, level, currency, disposition)
    DO UPDATE SET alerts = t.alerts + EXCLUDED.alerts, amount = t.amount + EXCLUDED.amount;
$$;

CREATE FUNCTION fraud.after_alert_change() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, fraud, pg_temp AS $$
DECLARE
    verb text := CASE WHEN NEW.status = OLD.status THEN 'assigned' WHEN NEW.status = 'closed' THEN 'closed'
                      WHEN OLD.status = 'closed' THEN 'reopened' ELSE 'moved' END;
    moved integer := (NEW.status <> 'closed')::integer - (OLD.status <> 'closed')::integer;
BEGIN
    IF NEW.version = OLD.version THEN
        RETURN NULL;
    END IF;
    INSERT INTO fraud.alert_event (alert_id, case_id, actor, action, previous, new, note) VALUES (
        NEW.alert_id, NEW.case_id, fraud.acting(), verb,
        jsonb_build_object('status', OLD.status, 'assigned_to', OLD.assigned_to, 'disposition', OLD.disposition),
        jsonb_build_object('status', NEW.status, 'assigned_to', NEW.assigned_to, 'disposition', NEW.disposition),
        coalesce(current_setting('fraud.note', true), ''));
    IF OLD.disposition IS NOT NULL THEN
        PERFORM fraud.count_outcome(OLD, OLD.disposition, -1);
    END IF;
    IF NEW.disposition IS NOT NULL THEN
        PERFORM fraud.count_outcome(NEW, NEW.disposition, 1);
        IF NEW.disposition IN ('confirmed_fraud', 'false_positive', 'verified') THEN
            INSERT INTO fraud.label_outbox (alert_id, transaction_id, label, fraud_type) VALUES (
                NEW.alert_id, NEW.transaction_id,
                CASE NEW.disposition WHEN 'confirmed_fraud' THEN 'fraud' ELSE 'legit' END,
                CASE NEW.disposition WHEN 'confirmed_fraud' THEN NEW.typology END);
        END IF;
    END IF;
    IF moved <> 0 AND NEW.case_id IS NOT NULL THEN
        PERFORM fraud.recount_case(NEW.case_id, moved);
    END IF;
    RETURN NULL;
END $$;

-- A case is closed when its last alert is, and opens again with the first that is reopened.
CREATE FUNCTION fraud.recount_case(which bigint, step integer) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, fraud, pg_temp AS $$
BEGIN
    UPDATE fraud.cases c SET
        open_alerts = c.open_alerts + step,
        version = c.version + 1,
        status = CASE WHEN c.open_alerts + step > 0 AND (c.status = 'open' OR NOT EXISTS (
                     SELECT FROM fraud.cases o WHERE o.status = 'open' AND o.case_id <> c.case_id
                     AND (o.subject_kind, o.subject, o.typology) = (c.subject_kind, c.subject, c.typology)))
                 THEN 'open' ELSE 'closed' END,
        closed_at = CASE WHEN c.open_alerts + step > 0 THEN NULL ELSE clock_timestamp() END
    WHERE c.case_id = which;
END $$;
CREATE TRIGGER alerts_changed AFTER UPDATE OF status, assigned_to, disposition ON fraud.alerts
    FOR EACH ROW EXECUTE FUNCTION fraud.after_alert_change();

CREATE FUNCTION fraud.tell_desk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('fraud_desk', jsonb_build_object(
        'event', NEW.event_id, 'alert', NEW.alert_id, 'case', NEW.case_id, 'by', NEW.actor,
        'action', NEW.action, 'at', NEW.at)::text);
    RETURN NULL;
END $$;
CREATE TRIGGER alert_event_told AFTER INSERT ON fraud.alert_event
    FOR EACH ROW EXECUTE FUNCTION fraud.tell_desk();

-- The only ways into the trail beside a change of an alert.
CREATE FUNCTION fraud.note_alert(which text, remark text) RETURNS bigint LANGUAGE sql
    SECURITY DEFINER SET search_path = pg_catalog, fraud, pg_temp AS $$
    INSERT INTO fraud.alert_event (alert_id, case_id, actor, action, note)
    SELECT a.alert_id, a.case_id, fraud.acting(), 'noted', remark FROM fraud.alerts a WHERE a.alert_id = which
    RETURNING event_id;
$$;
CREATE FUNCTION fraud.note_case(which bigint, remark text) RETURNS bigint LANGUAGE sql
    SECURITY DEFINER SET search_path = pg_catalog, fraud, pg_temp AS $$
    INSERT INTO fraud.alert_event (case_id, actor, action, note)
    SELECT c.case_id, fraud.acting(), 'noted', remark FROM fraud.cases c WHERE c.case_id = which RETURNING event_id;
$$;
-- A case and its open alerts go to one person; false when somebody changed the case meanwhile.
CREATE FUNCTION fraud.assign_case(which bigint, seen integer, who text) RETURNS boolean LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, fraud, pg_temp AS $$
DECLARE before text;
BEGIN
    SELECT assigned_to INTO before FROM fraud.cases WHERE case_id = which AND version = seen FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE fraud.cases SET assigned_to = who, version = version + 1 WHERE case_id = which;
    UPDATE fraud.alerts SET assigned_to = who
    WHERE case_id = which AND status <> 'closed' AND assigned_to IS DISTINCT FROM who;
    INSERT INTO fraud.alert_event (case_id, actor, action, previous, new) VALUES (which, fraud.acting(), 'case_assigned',
        jsonb_build_object('assigned_to', before), jsonb_build_object('assigned_to', who));
    RETURN true;
END $$;

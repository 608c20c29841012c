-- fraud_desk is what the dashboard, and `medallion alerts`, connect as. It can change the work on an alert, nothing of
-- what the alert says; the trail, cases' counts and labels are written by triggers and functions only.
GRANT USAGE ON SCHEMA fraud, mart TO fraud_desk;
GRANT SELECT ON fraud.alerts, fraud.cases, fraud.alert_context, fraud.snoozes, fraud.alert_event, fraud.label_outbox,
    fraud.alert_transitions, fraud.users, fraud.desk_sessions, fraud.api_tokens, fraud.stream_heartbeat,
    fraud.stream_progress, fraud.stream_control, fraud.batch_ledger, fraud.outbox, fraud.rule_versions,
    fraud.rule_activations TO fraud_desk;
GRANT SELECT ON ALL TABLES IN SCHEMA mart TO fraud_desk, fraud_reader;
GRANT UPDATE (status, assigned_to, disposition) ON fraud.alerts TO fraud_desk;
GRANT UPDATE (sent_at, attempts, last_error) ON fraud.label_outbox TO fraud_desk;
GRANT INSERT, DELETE ON fraud.desk_sessions TO fraud_desk;
GRANT UPDATE (seen_at) ON fraud.desk_sessions TO fraud_desk;
GRANT SELECT ON fraud.cases, fraud.alert_context, fraud.snoozes, fraud.alert_event, fraud.label_outbox TO fraud_reader;

REVOKE EXECUTE ON FUNCTION fraud.adopt_alerts(integer), fraud.record_context(jsonb), fraud.note_alert(text, text),
    fraud.note_case(bigint, text), fraud.assign_case(bigint, integer, text),
    fraud.snooze(text, text, text, timestamptz, text),
    fraud.end_snooze(bigint), fraud.recount_case(bigint, integer),
    fraud.count_outcome(fraud.alerts, text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fraud.adopt_alerts(integer), fraud.record_context(jsonb), fraud.note_alert(text, text),
    fraud.note_case(bigint, text), fraud.assign_case(bigint, integer, text),
    fraud.snooze(text, text, text, timestamptz, text),
    fraud.end_snooze(bigint) TO fraud_desk;

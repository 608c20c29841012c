-- What the live dashboard and Metabase both show. Only rollups and bounded ranges: fast with a million alerts.
CREATE VIEW mart.v_alerts_by_hour AS
SELECT hour, typology, level, channel, type, currency, score_band, alerts, snoozed, amount FROM mart.alerts_hourly;

CREATE VIEW mart.v_alerts_by_dimension AS
SELECT hour, dimension, value, currency, alerts, amount FROM mart.alerts_dimension_hourly
UNION ALL
SELECT hour, 'channel', channel, currency, sum(alerts), sum(amount) FROM mart.alerts_hourly GROUP BY 1, 3, 4
UNION ALL
SELECT hour, 'type', type, currency, sum(alerts), sum(amount) FROM mart.alerts_hourly GROUP BY 1, 3, 4
UNION ALL
SELECT hour, 'all', 'all', currency, sum(alerts), sum(amount) FROM mart.alerts_hourly GROUP BY 1, 4;

CREATE VIEW mart.v_traffic_by_hour AS
SELECT window_start AS hour, dimension, value, currency, transactions, approved, declined, refunds, late, amount
FROM mart.transaction_metrics_hour;

CREATE VIEW mart.v_traffic_by_minute AS
SELECT window_start AS minute, currency, transactions, approved, declined, late, amount
FROM mart.transaction_metrics_minute WHERE dimension = 'all';

-- What is open, by currency and level: money of different currencies is never added. One scan of one index.
CREATE VIEW mart.v_open_queue AS
SELECT currency, level, count(*) AS alerts, min(detected_at) AS oldest,
       count(*) FILTER (WHERE detected_at < now() - interval '1 hour') AS over_an_hour,
       count(*) FILTER (WHERE detected_at < now() - interval '24 hours') AS over_a_day,
       count(*) FILTER (WHERE snoozed_until IS NULL OR snoozed_until < now()) AS awake,
       coalesce(sum(amount) FILTER (WHERE snoozed_until IS NULL OR snoozed_until < now()), 0) AS at_risk
FROM fraud.alerts WHERE status <> 'closed' GROUP BY currency, level;

CREATE VIEW mart.v_value_at_risk AS
SELECT currency, level, awake AS alerts, at_risk AS amount FROM mart.v_open_queue WHERE awake > 0;

CREATE VIEW mart.v_queue_age AS
SELECT level, sum(alerts) AS alerts, min(oldest) AS oldest, sum(over_an_hour) AS over_an_hour,
       sum(over_a_day) AS over_a_day
FROM mart.v_open_queue GROUP BY level;

CREATE VIEW mart.v_dispositions AS
SELECT event_date, typology, level, currency, disposition, alerts, amount FROM mart.dispositions_daily WHERE alerts > 0;

CREATE VIEW mart.v_precision_by_level AS
SELECT level, sum(alerts) FILTER (WHERE disposition = 'confirmed_fraud') AS confirmed,
       sum(alerts) FILTER (WHERE disposition IN ('false_positive', 'verified')) AS refuted
FROM mart.dispositions_daily GROUP BY level;

CREATE VIEW mart.v_rule_hits_daily AS
SELECT event_date, rule_id, sum(hits) AS hits, sum(alerts) AS alerts, sum(shadow_hits) AS shadow_hits,
       sum(points) AS points
FROM mart.rule_metrics_daily GROUP BY event_date, rule_id;

CREATE VIEW mart.v_rule_board AS
WITH hits AS (
    SELECT rule_id, sum(hits) FILTER (WHERE event_date >= current_date) AS hits_today,
           sum(hits) FILTER (WHERE event_date > current_date - 7) AS hits_7d, sum(hits) AS hits_30d,
           sum(alerts) AS alerts_30d, sum(shadow_hits) AS shadow_hits_30d, sum(points) AS points_30d,
           max(event_date) FILTER (WHERE hits + shadow_hits > 0) AS last_hit
    FROM mart.rule_metrics_daily WHERE event_date > current_date - 30 GROUP BY rule_id
), outcomes AS (
    SELECT rule_id, sum(alerts) FILTER (WHERE disposition = 'confirmed_fraud') AS confirmed,
           sum(alerts) FILTER (WHERE disposition IN ('false_positive', 'verified')) AS refuted,
           sum(alerts) FILTER (WHERE disposition IN ('duplicate', 'inconclusive')) AS undecided
    FROM mart.rule_outcomes_daily WHERE event_date > current_date - 90 GROUP BY rule_id
)
SELECT rule_id, coalesce(hits_today, 0) AS hits_today, coalesce(hits_7d, 0) AS hits_7d, coalesce(hits_30d, 0) AS hits_30d,
       coalesce(alerts_30d, 0) AS alerts_30d, coalesce(shadow_hits_30d, 0) AS shadow_hits_30d,
       coalesce(points_30d, 0) AS points_30d, last_hit, coalesce(confirmed, 0) AS confirmed,
       coalesce(refuted, 0) AS refuted, coalesce(undecided, 0) AS undecided,
       confirmed::float8 / nullif(coalesce(confirmed, 0) + coalesce(refuted, 0), 0) AS precision
FROM hits FULL JOIN outcomes USING (rule_id);

CREATE VIEW mart.v_stream_health AS
SELECT b.stream, b.application, b.state, b.beat_at, extract(epoch FROM now() - b.beat_at)::float8 AS beat_age_seconds,
       b.started_at, b.batch_id, b.run_id, coalesce(c.desired, 'running') AS desired
FROM fraud.stream_heartbeat b LEFT JOIN fraud.stream_control c USING (application);

CREATE VIEW mart.v_stream_minutes AS
SELECT stream, date_bin('1 minute', at, 'epoch') AS minute, sum(input_rows) AS input_rows, count(*) AS batches,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY batch_ms) AS batch_p50_ms,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY batch_ms) AS batch_p99_ms,
       max(lag_rows) AS lag_rows, max((detail ->> 'state_rows')::bigint) AS state_rows,
       max((detail ->> 'state_bytes')::bigint) AS state_bytes,
       sum((detail ->> 'dropped_by_watermark')::bigint) AS dropped_by_watermark,
       sum((detail ->> 'duplicates')::bigint) AS duplicates
FROM fraud.stream_progress WHERE at > now() - interval '2 hours' GROUP BY 1, 2;

-- Alerts about history that was loaded late would show the age of the data, not the speed of the lane.
CREATE VIEW mart.v_alert_latency AS
SELECT date_bin('1 minute', detected_at, 'epoch') AS minute, count(*) AS alerts,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM detected_at - kafka_timestamp) * 1000) AS p50_ms,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM detected_at - kafka_timestamp) * 1000) AS p99_ms
FROM fraud.alerts
WHERE detected_at > now() - interval '2 hours' AND kafka_timestamp > detected_at - interval '10 minutes' GROUP BY 1;

-- The 500 largest cases of a week, added up by whom they are about: all of them would be read for twenty rows.
CREATE VIEW mart.v_top_subjects AS
SELECT subject_kind, subject, sum(alerts) AS alerts, sum(open_alerts) AS open_alerts, max(top_score) AS top_score,
       currency, sum(amount) AS amount, max(last_alert_at) AS last_alert_at
FROM (SELECT * FROM fraud.cases WHERE last_alert_at > now() - interval '7 days'
      ORDER BY alerts DESC, case_id DESC LIMIT 500) AS largest
GROUP BY subject_kind, subject, currency;

CREATE VIEW mart.v_labels_on_their_way AS
SELECT count(*) FILTER (WHERE sent_at IS NULL) AS waiting, min(label_time) FILTER (WHERE sent_at IS NULL) AS oldest,
       max(sent_at) AS last_sent
FROM fraud.label_outbox WHERE sent_at IS NULL OR sent_at > now() - interval '1 day';

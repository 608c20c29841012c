-- Questions that are asked often, one view each; the comment before a view is its description.

-- Transactions, volume and alerts of each day, by channel
CREATE VIEW ask.traffic_by_day AS
SELECT t.event_date AS day, t.channel, t.currency, count(*) AS transactions, sum(t.amount) AS amount,
       count(*) FILTER (a.transaction_id IS NOT NULL) AS alerts
FROM silver.transactions t
LEFT JOIN (SELECT DISTINCT transaction_id FROM gold.fraud_alerts) a USING (transaction_id)
GROUP BY ALL ORDER BY day DESC, transactions DESC;

-- How many alerts of each typology a day brought, and what money they were about
CREATE VIEW ask.alerts_by_typology AS
SELECT event_date AS day, typology, level, currency, count(*) AS alerts, sum(amount) AS amount
FROM gold.fraud_alerts GROUP BY ALL ORDER BY day DESC, alerts DESC;

-- Alerts per rule whose transaction is known to be fraud or legitimate, and the share that was fraud
CREATE VIEW ask.precision_by_rule AS
WITH truth AS (SELECT transaction_id, arg_max(label, label_time) AS label FROM silver.labels GROUP BY transaction_id),
hits AS (
    SELECT a.transaction_id, json_extract_string(r.value, '$.rule_id') AS rule_id
    FROM gold.fraud_alerts a, json_each(a.reasons) AS r
)
SELECT rule_id, count(*) AS alerts, count(*) FILTER (label = 'fraud') AS fraud,
       count(*) FILTER (label = 'legit') AS legitimate,
       round(count(*) FILTER (label = 'fraud') / nullif(count(label), 0), 3) AS "precision"
FROM hits LEFT JOIN truth USING (transaction_id) GROUP BY rule_id ORDER BY alerts DESC;

-- Labelled fraud that raised no alert, newest first: what the rules miss
CREATE VIEW ask.missed_fraud AS
WITH truth AS (
    SELECT transaction_id, arg_max(label, label_time) AS label, max(label_time) AS known_at
    FROM silver.labels GROUP BY transaction_id
)
SELECT t.transaction_id, t.event_time, t.customer_id, t.amount, t.currency, t.channel, t.merchant_name, d.score, known_at
FROM truth JOIN silver.transactions t USING (transaction_id)
LEFT JOIN gold.fraud_decisions d ON d.transaction_id = t.transaction_id AND d.subject_kind = 'customer'
WHERE truth.label = 'fraud' AND NOT coalesce(d.alert, false) ORDER BY known_at DESC;

-- Customers by alerts, with the money at stake
CREATE VIEW ask.customers_by_alerts AS
SELECT customer_id, count(*) AS alerts, max(score) AS highest_score, currency, sum(amount) AS amount,
       max(event_time) AS newest
FROM gold.fraud_alerts GROUP BY customer_id, currency ORDER BY alerts DESC, amount DESC;

-- Why messages were refused, by day
CREATE VIEW ask.refused_by_reason AS
SELECT ingest_date AS day, topic, reason_code, count(*) AS messages
FROM silver.quarantine GROUP BY ALL ORDER BY day DESC, messages DESC;

-- How late late transactions were, by day
CREATE VIEW ask.lateness_by_day AS
SELECT event_date AS day, count(*) AS transactions, round(median(lateness_seconds)) AS median_seconds,
       round(max(lateness_seconds)) AS longest_seconds
FROM silver.late_transactions GROUP BY ALL ORDER BY day DESC;

-- Rules that could not judge for want of history, most often first
CREATE VIEW ask.abstentions_by_rule AS
SELECT rule AS rule_id, count(*) AS decisions
FROM (SELECT unnest(abstained) AS rule FROM gold.fraud_decisions) GROUP BY rule ORDER BY decisions DESC;

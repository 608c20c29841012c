"""Every published rule set, the batch from which each stream used it, and alerts about more than customers."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = """
CREATE TABLE fraud.rule_versions (
    version text PRIMARY KEY,
    texts jsonb NOT NULL,
    rules jsonb NOT NULL,
    published_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_by text NOT NULL,
    note text NOT NULL DEFAULT ''
);
CREATE FUNCTION fraud.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER rule_versions_append_only BEFORE UPDATE OR DELETE ON fraud.rule_versions
    FOR EACH ROW EXECUTE FUNCTION fraud.refuse_change();

CREATE TABLE fraud.rule_activations (
    activation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version text NOT NULL REFERENCES fraud.rule_versions,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE fraud.rule_boundaries (
    query text NOT NULL,
    generation text NOT NULL,
    first_batch bigint NOT NULL,
    activation_id bigint NOT NULL REFERENCES fraud.rule_activations,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (query, generation, first_batch)
);
CREATE TRIGGER rule_activations_append_only BEFORE UPDATE OR DELETE ON fraud.rule_activations
    FOR EACH ROW EXECUTE FUNCTION fraud.refuse_change();
CREATE TRIGGER rule_boundaries_append_only BEFORE UPDATE OR DELETE ON fraud.rule_boundaries
    FOR EACH ROW EXECUTE FUNCTION fraud.refuse_change();

ALTER TABLE fraud.alerts
    ADD COLUMN subject_kind text NOT NULL DEFAULT 'customer'
        CHECK (subject_kind IN ('customer', 'device', 'merchant', 'terminal', 'ip')),
    ADD COLUMN subject text;
UPDATE fraud.alerts SET subject = customer_id;
ALTER TABLE fraud.alerts ALTER COLUMN subject SET NOT NULL;
DROP INDEX fraud.alerts_transaction;
CREATE UNIQUE INDEX alerts_transaction ON fraud.alerts (transaction_id, subject_kind);
CREATE INDEX alerts_subject ON fraud.alerts (subject_kind, subject, event_time DESC);

GRANT SELECT, INSERT ON fraud.rule_versions, fraud.rule_activations, fraud.rule_boundaries TO fraud_writer;
GRANT SELECT ON fraud.rule_versions, fraud.rule_activations, fraud.rule_boundaries TO fraud_reader;
"""


def upgrade() -> None:
    """Add the tables, and the subject of an alert."""
    op.get_bind().exec_driver_sql(STATEMENTS)

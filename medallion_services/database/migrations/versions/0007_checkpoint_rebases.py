"""New generations of a query: where each begins, what it must not write again, who asked for it and why; and offsets
that Kafka lost before they were read."""

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = """
CREATE TABLE fraud.checkpoint_rebases (
    rebase_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream text NOT NULL,
    query text NOT NULL,
    generation text,
    plan jsonb NOT NULL,
    reason text NOT NULL,
    made_by text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE fraud.ingest_gaps (
    topic text NOT NULL,
    partition integer NOT NULL,
    first_offset bigint NOT NULL,
    last_offset bigint NOT NULL CHECK (last_offset >= first_offset),
    reason text NOT NULL,
    made_by text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic, partition, first_offset)
);
CREATE TRIGGER ingest_gaps_append_only BEFORE UPDATE OR DELETE ON fraud.ingest_gaps
    FOR EACH ROW EXECUTE FUNCTION fraud.refuse_change();
GRANT SELECT, INSERT ON fraud.ingest_gaps TO fraud_writer;
GRANT SELECT ON fraud.ingest_gaps TO fraud_reader;
GRANT SELECT, INSERT, UPDATE (generation) ON fraud.checkpoint_rebases TO fraud_writer;
GRANT SELECT ON fraud.checkpoint_rebases TO fraud_reader;
"""


def upgrade() -> None:
    """Add the table."""
    op.get_bind().exec_driver_sql(STATEMENTS)

"""Which quarantined messages were sent again, how often, and where they went."""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = """
CREATE TABLE fraud.quarantine_replays (
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    attempt integer NOT NULL CHECK (attempt > 0),
    replayed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    replayed_by text NOT NULL,
    changes jsonb NOT NULL DEFAULT '{}',
    new_partition integer NOT NULL,
    new_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition, "offset", attempt)
);
CREATE TRIGGER quarantine_replays_append_only BEFORE UPDATE OR DELETE ON fraud.quarantine_replays
    FOR EACH ROW EXECUTE FUNCTION fraud.refuse_change();
GRANT SELECT, INSERT ON fraud.quarantine_replays TO fraud_writer;
GRANT SELECT ON fraud.quarantine_replays TO fraud_reader;
"""


def upgrade() -> None:
    """Add the table."""
    op.get_bind().exec_driver_sql(STATEMENTS)

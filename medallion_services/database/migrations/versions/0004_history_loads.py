"""Loads of history from files: what was loaded, and where the streams go on."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = """
CREATE TABLE fraud.history_loads (
    load text PRIMARY KEY,
    files text[] NOT NULL,
    rows bigint NOT NULL,
    first_day date,
    last_day date,
    rule_set_version text NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    checked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT, UPDATE ON fraud.history_loads TO fraud_writer;
GRANT SELECT ON fraud.history_loads TO fraud_reader;
"""


def upgrade() -> None:
    """Add the table."""
    op.get_bind().exec_driver_sql(STATEMENTS)

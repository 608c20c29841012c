"""Streams that are stopped for a while and start again by themselves; one way to say what is wanted."""

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS = """
ALTER TABLE fraud.stream_control ADD COLUMN resume_at timestamptz;

CREATE VIEW fraud.stream_wanted AS
SELECT application, generation, reason, updated_by, updated_at,
       CASE WHEN desired = 'stopped' AND resume_at <= clock_timestamp() THEN 'running' ELSE desired END AS desired,
       CASE WHEN desired = 'stopped' AND resume_at > clock_timestamp() THEN resume_at END AS resume_at
FROM fraud.stream_control;

-- Asking for running raises the generation, which restarts a running application and closes an open circuit.
CREATE FUNCTION fraud.want_stream(wanted text, state text, why text, who text, until timestamptz) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO fraud.stream_control AS c (application, desired, reason, updated_by, resume_at)
    VALUES (wanted, state, why, who, CASE WHEN state = 'stopped' THEN until END)
    ON CONFLICT (application) DO UPDATE SET
        desired = EXCLUDED.desired, reason = EXCLUDED.reason, updated_by = EXCLUDED.updated_by,
        updated_at = clock_timestamp(), resume_at = EXCLUDED.resume_at,
        generation = c.generation + CASE WHEN EXCLUDED.desired = 'running' THEN 1 ELSE 0 END
$$;

CREATE OR REPLACE VIEW mart.v_stream_health AS
SELECT b.stream, b.application, b.state, b.beat_at, extract(epoch FROM now() - b.beat_at)::float8 AS beat_age_seconds,
       b.started_at, b.batch_id, b.run_id, coalesce(w.desired, 'running') AS desired
FROM fraud.stream_heartbeat b LEFT JOIN fraud.stream_wanted w USING (application);

REVOKE ALL ON FUNCTION fraud.want_stream FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fraud.want_stream TO fraud_writer;
GRANT SELECT ON fraud.stream_wanted TO fraud_writer, fraud_reader, fraud_notifier;
"""


def upgrade() -> None:
    """Add the column, the view and the function."""
    op.get_bind().exec_driver_sql(STATEMENTS)

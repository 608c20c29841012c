"""Desired state and heartbeats; the only place of the control plane that knows these tables."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import DictRow

from medallion_assets.defs.streams.decide import Beat, Desired

_DESIRED = """
INSERT INTO fraud.stream_control (application) VALUES (%s) ON CONFLICT DO NOTHING
"""


def desired_state(connection: psycopg.Connection[DictRow], application: str) -> Desired:
    """What people want of an application; one nobody spoke about is wanted running."""
    connection.execute(_DESIRED, (application,))
    row = connection.execute(
        "SELECT desired, generation, reason, updated_at, resume_at FROM fraud.stream_wanted WHERE application = %s",
        (application,),
    ).fetchone()
    assert row is not None  # noqa: S101 - inserted above
    return Desired(row["desired"] == "running", row["generation"], row["reason"], row["updated_at"], row["resume_at"])


def want(
    connection: psycopg.Connection[DictRow], application: str, running: bool, why: str, who: str, until: datetime | None
) -> None:
    """Record what is wanted of an application; a stop ends by itself at `until`."""
    state = "running" if running else "stopped"
    connection.execute("SELECT fraud.want_stream(%s, %s, %s, %s, %s)", (application, state, why, who, until))


def beats(connection: psycopg.Connection[DictRow], streams: Sequence[str]) -> list[Beat]:
    """Last heartbeat of each stream that ever had one."""
    rows: list[dict[str, Any]] = connection.execute(
        "SELECT stream, run_id, state, beat_at, host, driver_pid FROM fraud.stream_heartbeat WHERE stream = ANY(%s)",
        (list(streams),),
    ).fetchall()
    return [Beat(r["stream"], r["run_id"], r["state"], r["beat_at"], r["host"], r["driver_pid"]) for r in rows]


def mark_ended(connection: psycopg.Connection[DictRow], run_id: str) -> None:
    """Record that a run's driver is gone, when it could not say so itself: nobody has to wait for its last beat."""
    connection.execute(
        "UPDATE fraud.stream_heartbeat SET state = 'failed' WHERE run_id = %s AND state IN ('starting', 'running')",
        (run_id,),
    )

"""The driver's sign of life in PostgreSQL: what the guard, the status command and the dashboards read."""

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from spark_jobs.lease import Parameters
from spark_jobs.progress import Progress

_BEAT = """
INSERT INTO fraud.stream_heartbeat
    (stream, application, generation, host, driver_pid, run_id, started_at, beat_at, state, batch_id, detail)
VALUES (%s, %s, %s, %s, %s, %s, %s, clock_timestamp(), %s, %s, %s)
ON CONFLICT (stream) DO UPDATE SET
    application = EXCLUDED.application, generation = EXCLUDED.generation, host = EXCLUDED.host,
    driver_pid = EXCLUDED.driver_pid, run_id = EXCLUDED.run_id, started_at = EXCLUDED.started_at,
    beat_at = EXCLUDED.beat_at, state = EXCLUDED.state,
    batch_id = COALESCE(EXCLUDED.batch_id, fraud.stream_heartbeat.batch_id), detail = EXCLUDED.detail
"""
_PROGRESS = """
INSERT INTO fraud.stream_progress
    (stream, query, batch_id, at, input_rows, rows_per_second, batch_ms, lag_rows, detail)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_KEEP = "DELETE FROM fraud.stream_progress WHERE stream = %s AND at < clock_timestamp() - interval '2 days'"


@dataclass(slots=True)
class Heartbeat:
    """Writes the heartbeat and progress rows of one application's streams."""

    parameters: Parameters
    application: str
    run_id: str
    started_at: datetime
    host: str = field(default_factory=socket.gethostname)
    _connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed or self._connection.broken:
            self._connection = psycopg.connect(**self.parameters, autocommit=True)
        return self._connection

    def beat(
        self, stream: str, state: str, generation: str = "", batch_id: int | None = None, detail: str = ""
    ) -> None:
        """Say that the stream is alive (starting, running) or how it ended (stopped, failed)."""
        self._connected().execute(
            _BEAT,
            (
                stream,
                self.application,
                generation,
                self.host,
                os.getpid(),
                self.run_id,
                self.started_at,
                state,
                batch_id,
                Jsonb({"message": detail} if detail else {}),
            ),
        )

    def record(self, stream: str, batches: Iterable[Progress]) -> None:
        """Keep the batches' figures."""
        rows = [
            (
                stream,
                p.query,
                p.batch_id,
                p.at,
                p.input_rows,
                p.rows_per_second,
                p.batch_ms,
                p.lag_rows,
                Jsonb(p.detail),
            )
            for p in batches
        ]
        if rows:
            self._connected().cursor().executemany(_PROGRESS, rows)

    def prune(self, stream: str) -> None:
        """Forget figures older than two days."""
        self._connected().execute(_KEEP, (stream,))

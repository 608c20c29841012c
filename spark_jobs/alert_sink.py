"""Alerts into PostgreSQL: ledger, alerts and outbox in one transaction, so a replay changes nothing."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
from psycopg_pool import ConnectionPool

from fraud_domain.micro_batch import Batch
from fraud_domain.tables import table
from spark_jobs.failpoints import Failpoint, reached
from spark_jobs.lease import Parameters, check_epoch

_GENERATED = {"detected_at", "status"}
ALERT_COLUMNS = tuple(c for c in table("alerts.alerts").column_names if c not in _GENERATED)
_COLUMN_LIST = ", ".join(f'"{c}"' for c in ALERT_COLUMNS)
_STAGING = "CREATE TEMP TABLE IF NOT EXISTS staged_alerts (LIKE fraud.alerts INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"
_COPY = f"COPY staged_alerts ({_COLUMN_LIST}) FROM STDIN"
_INSERT = f"""
WITH fresh AS (
    INSERT INTO fraud.alerts ({_COLUMN_LIST}) SELECT {_COLUMN_LIST} FROM staged_alerts
    ON CONFLICT DO NOTHING RETURNING alert_id, score
), queued AS (
    INSERT INTO fraud.outbox (alert_id, channel, recipient)
    SELECT f.alert_id, r.channel, r.recipient
    FROM fresh f JOIN fraud.notification_route r ON r.enabled AND f.score >= r.min_score
    ON CONFLICT DO NOTHING
)
SELECT count(*), pg_notify('fraud_alerts', count(*)::text) FROM fresh
"""  # noqa: S608 - column names come from the registry, values by COPY
_RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


class ReplayDiffersError(RuntimeError):
    """A batch was replayed with other alerts than the first time: something in it is not deterministic."""


@dataclass(frozen=True, slots=True)
class AlertSink:
    """Writes the alerts of a batch exactly once in effect."""

    pool: ConnectionPool[psycopg.Connection[tuple[Any, ...]]]
    stream: str
    epoch: int

    def commit(self, batch: Batch, alerts: Sequence[dict[str, Any]]) -> int:
        """Write a batch's alerts; waits out a database restart.

        Args:
            alerts: one dict per alert, keyed by the columns of `alerts.alerts` but detected_at and status.

        Returns:
            How many alerts were new.

        Raises:
            FencedError: another driver took the stream over.
            ReplayDiffersError: the ledger holds this batch with another payload.
            psycopg.OperationalError: it failed nine times; with the pool's patience of 30 s each, that is 331 s away.
        """
        if not alerts:
            return 0
        rows = sorted((tuple(alert[c] for c in ALERT_COLUMNS) for alert in alerts), key=lambda row: str(row[0]))
        payload = hashlib.sha256(orjson.dumps(rows, default=str)).hexdigest()
        reached(Failpoint.BEFORE_ALERT_COMMIT)
        for pause in _RETRY_SECONDS:
            try:
                return self._write(batch, rows, payload)
            except psycopg.OperationalError:
                time.sleep(pause)
        return self._write(batch, rows, payload)

    def _write(self, batch: Batch, rows: Sequence[tuple[Any, ...]], payload: str) -> int:
        with self.pool.connection() as connection, connection.transaction():
            check_epoch(connection, self.stream, self.epoch)
            if not self._enter(connection, batch, len(rows), payload):
                return 0
            reached(Failpoint.IN_ALERT_TRANSACTION)
            connection.execute(_STAGING)
            with connection.cursor().copy(_COPY) as copy:
                for row in rows:
                    copy.write_row(row)
            inserted = connection.execute(_INSERT).fetchone()
        reached(Failpoint.AFTER_ALERT_COMMIT)
        return int(inserted[0]) if inserted else 0

    def _enter(self, connection: psycopg.Connection[tuple[Any, ...]], batch: Batch, alerts: int, payload: str) -> bool:
        """Whether the batch is new to the ledger."""
        key = (batch.stream, batch.generation, batch.batch_id)
        entered = connection.execute(
            "INSERT INTO fraud.batch_ledger (stream, generation, batch_id, epoch, alerts, payload_sha256)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (*key, self.epoch, alerts, payload),
        )
        if entered.rowcount == 1:
            return True
        before = connection.execute(
            "SELECT payload_sha256 FROM fraud.batch_ledger WHERE stream = %s AND generation = %s AND batch_id = %s", key
        ).fetchone()
        if before is None or before[0] != payload:
            raise ReplayDiffersError(
                f"batch {batch.batch_id} of '{batch.stream}' (generation {batch.generation}) was committed with other"
                " alerts than it has now; nothing was written"
            )
        return False


def open_sink(parameters: Parameters, stream: str, epoch: int) -> AlertSink:
    """A sink with its own small connection pool."""
    pool: ConnectionPool[psycopg.Connection[tuple[Any, ...]]] = ConnectionPool(
        kwargs={**parameters, "application_name": f"medallion-{stream}"},
        min_size=1,
        max_size=2,
        open=True,
        check=ConnectionPool.check_connection,
    )
    return AlertSink(pool, stream, epoch)

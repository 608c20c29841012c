"""Dispositions become labels: the outbox that closing fills, published to `fraud_labels` until Kafka has them.

At least once. A repeated label has the same transaction, source and time, which is the key of `silver.labels`.
"""

import asyncio
import contextlib
import logging
from typing import Any, LiteralString

import orjson
import psycopg
from confluent_kafka import Producer
from psycopg_pool import PoolTimeout

from fraud_domain.contract import FraudLabel, LabelSource
from fraud_domain.kafka_client import client_configuration
from fraud_domain.settings import Settings
from fraud_domain.topics import FRAUD_LABELS, producer_configuration
from medallion_services.dashboard import message
from medallion_services.dashboard.database import Database, Row

_LOG = logging.getLogger(__name__)
_AT_ONCE = 200
_IDLE_SECONDS = 5.0
_MAX_PAUSE = 60.0
_FLUSH_SECONDS = 10.0
_WAITING: LiteralString = """
SELECT o.label_id, o.transaction_id, o.label, o.fraud_type, o.label_time, a.merchant_id, c.terminal_id, c.device_id
FROM fraud.label_outbox o JOIN fraud.alerts a USING (alert_id) LEFT JOIN fraud.alert_context c USING (alert_id)
WHERE o.sent_at IS NULL ORDER BY o.label_id LIMIT %s FOR UPDATE OF o SKIP LOCKED
"""
_SENT: LiteralString = (
    "UPDATE fraud.label_outbox SET sent_at = clock_timestamp(), attempts = attempts + 1, last_error = NULL"
    " WHERE label_id = ANY (%s)"
)
_FAILED: LiteralString = (
    "UPDATE fraud.label_outbox SET attempts = attempts + 1, last_error = %s WHERE label_id = ANY (%s)"
)


def as_label(row: Row) -> FraudLabel:
    """A row of the outbox as the contract has it; where it happened lets rules about terminals learn from it."""
    return FraudLabel(
        transaction_id=row["transaction_id"],
        label=row["label"],
        fraud_type=row["fraud_type"],
        source=LabelSource.ANALYST,
        label_time=row["label_time"],
        **{name: row[name] for name in ("terminal_id", "merchant_id", "device_id")},
    )


class LabelRelay:
    """The background task; `wake` it when a disposition was made."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """There may be labels to send."""
        self._awake.set()

    async def run(self) -> None:
        """Send for ever; when Kafka is away, try again after a growing pause."""
        pause = _IDLE_SECONDS
        while True:
            # Not wait_for: in Python 3.11 it loses a cancellation that comes with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._awake.wait()
            self._awake.clear()
            try:
                failed = await self.round()
                pause = min(pause * 2, _MAX_PAUSE) if failed else _IDLE_SECONDS
            except (psycopg.Error, PoolTimeout) as error:
                _LOG.warning("labels wait for the database: %s", error)

    async def round(self) -> str:
        """Send what waits; returns why it could not be sent, empty when all is well.

        The rows stay locked while Kafka answers, so two desks never send one label at once.
        """
        async with self._database.pool.connection() as connection, connection.transaction():
            rows = await (await connection.execute(_WAITING, (_AT_ONCE,))).fetchall()
            if not rows:
                return ""
            ids = [row["label_id"] for row in rows]
            failure = await asyncio.to_thread(self._publish, rows)
            if failure:
                _LOG.warning("%s labels were not sent: %s", len(rows), failure)
                await connection.execute(_FAILED, (failure[:500], ids))
            else:
                await connection.execute(_SENT, (ids,))
        if len(rows) == _AT_ONCE and not failure:
            self.wake()
        return failure

    def _publish(self, rows: list[Row]) -> str:
        try:
            message.require_broker(self._settings.kafka_bootstrap)
        except message.NoAnswerError as error:
            return str(error)
        failures: list[str] = []

        def delivered(error: Any, _: Any) -> None:
            if error is not None:
                failures.append(error.str())

        producer = Producer(
            producer_configuration(
                client_configuration(self._settings),
                {"delivery.timeout.ms": int(_FLUSH_SECONDS * 1000), "log_level": 2},
            )
        )
        for row in rows:
            value = orjson.dumps(as_label(row).model_dump(mode="json", exclude_none=True))
            producer.produce(FRAUD_LABELS, key=row["transaction_id"], value=value, on_delivery=delivered)
        left = producer.flush(_FLUSH_SECONDS + 1)
        return failures[0] if failures else f"{left} labels unacknowledged" if left else ""

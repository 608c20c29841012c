"""One row of the outbox: decide and commit, send, mark. A crash between sending and marking repeats the same key."""

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from fraud_domain.rules.errors import RuleError
from fraud_domain.settings import MissingSecretError, NotifierSettings
from medallion_services.notifier import messages, outbox
from medallion_services.notifier.backoff import DeliveryError, RefusedError, after_failure
from medallion_services.notifier.channels import Channel
from medallion_services.notifier.model import Message, outbox_key
from medallion_services.notifier.routing import Kind, decide

_LOG = logging.getLogger(__name__)
Pool = ConnectionPool[Any]
_DATABASE_ERRORS = (psycopg.Error, PoolTimeout)
_EXPECTED = (DeliveryError, RefusedError, RuleError, MissingSecretError)
"""Their texts are for people and hold no secret."""


class Delivery:
    """Works on single rows; safe to share between threads."""

    def __init__(
        self,
        pool: Pool,
        channels: Mapping[str, Channel],
        settings: NotifierSettings,
        dashboard: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        rng: random.Random | None = None,
    ) -> None:
        self._pool, self._channels, self._settings, self._dashboard = pool, channels, settings, dashboard
        # Jitter needs no secrecy.
        self._clock, self._rng = clock, rng or random.Random()  # noqa: S311

    def claim(self, busy: Sequence[str]) -> outbox.Row | None:
        """Take a row under a lease, committed."""
        with self._pool.connection() as connection:
            return outbox.claim(connection, timedelta(seconds=self._settings.lease_seconds), busy)

    def renew(self, ids: Sequence[int]) -> None:
        """Keep the leases of rows that are being sent."""
        with self._pool.connection() as connection:
            outbox.renew(connection, ids, timedelta(seconds=self._settings.lease_seconds))

    def handle(self, row: outbox.Row) -> str:
        """Bring a claimed row to an end; returns sent, held, skipped, failed or dead.

        Raises:
            psycopg.Error: the database went away; the lease ends by itself and the row is tried again.
        """
        outbox_id = int(row["outbox_id"])
        try:
            if row["attempts"] > self._settings.max_attempts:
                raise RefusedError(f"gave up after {self._settings.max_attempts} attempts, the last of which crashed")
            with self._pool.connection() as connection:
                message = self._message(connection, row)
            if isinstance(message, str):
                return message
            channel = self._channels.get(row["channel"])
            if channel is None:
                raise RefusedError(f"there is no channel '{row['channel']}'; one of {', '.join(self._channels)}")
            channel(message, row["recipient"])
        except _DATABASE_ERRORS:
            raise
        except Exception as error:
            return self._failed(row, error)
        with self._pool.connection() as connection:
            outbox.mark_sent(connection, outbox_id)
        return "sent"

    def _message(self, connection: outbox.Connection, row: outbox.Row) -> Message | str:
        """What to send, with the decision kept; or what became of the row when nothing is to be sent now."""
        outbox_id, key = int(row["outbox_id"]), outbox_key(row["outbox_id"])
        route = outbox.route(connection, row)
        if row["ops_id"] is not None:
            if not route.enabled:
                outbox.mark_skipped(connection, outbox_id, "the route is disabled")
                return "skipped"
            return messages.ops_message(
                key, outbox.ops_alert(connection, row["ops_id"]), route.language, route.time_zone
            )
        if row["digest_at"] is not None:
            told = outbox.alerts(connection, outbox.gather(connection, row))
            if len(told) > 1:
                return messages.digest_message(key, told, route.language, self._dashboard)
        (alert,) = outbox.alerts(connection, [row["alert_id"]])
        if row["decision"] is None and not row["escalation"]:
            earlier = outbox.earlier(connection, row, alert) if route.cooldown else []
            rank = outbox.rank(connection, row, alert) if route.digest_above is not None else 0
            decision = decide(route, alert, earlier, rank, self._clock())
            if decision.kind is Kind.SKIP:
                outbox.mark_skipped(connection, outbox_id, decision.reason)
                return "skipped"
            if decision.kind is Kind.DIGEST and decision.at is not None:
                outbox.hold(connection, outbox_id, decision.at, decision.reason)
                return "held"
            outbox.keep_decision(connection, outbox_id, decision.kind)
        return messages.alert_message(
            key, alert, route.language, route.time_zone, self._dashboard, escalation=row["escalation"]
        )

    def _failed(self, row: outbox.Row, error: Exception) -> str:
        """Mark the row; an error that nobody foresaw is logged with its trace, and only its type is kept."""
        known = isinstance(error, _EXPECTED)
        why = str(error) if known else f"unexpected {type(error).__name__}; see logs/notifier.log"
        if not known:
            _LOG.exception("outbox-%s by %s", row["outbox_id"], row["channel"])
        verdict = after_failure(error, row["attempts"], self._settings.max_attempts, self._rng)
        with self._pool.connection() as connection:
            if verdict.dead:
                outbox.mark_dead(connection, row["outbox_id"], why)
            else:
                outbox.mark_failed(connection, row["outbox_id"], why, verdict.pause)
        _LOG.warning(
            "outbox-%s to %s:%s, attempt %s: %s%s",
            row["outbox_id"], row["channel"], row["recipient"], row["attempts"], why,
            "; dead" if verdict.dead else f"; again in {verdict.pause:.0f} s",
        )  # fmt: skip
        return "dead" if verdict.dead else "failed"

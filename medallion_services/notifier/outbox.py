"""The SQL of the outbox: take a row under a lease, keep the decision, mark what became of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from medallion_services.notifier.model import Alert, Route, Told
from medallion_services.notifier.routing import DIGEST_SETTLE
from medallion_services.notifier.webpush import Subscription

Connection = psycopg.Connection[Any]
Row = Mapping[str, Any]
_HISTORY = timedelta(days=7)
_HISTORY_ROWS = 500

_CLAIM: LiteralString = """
WITH due AS (
    SELECT outbox_id FROM fraud.outbox waiting
    WHERE status = 'pending' AND digest_of IS NULL AND next_attempt_at <= clock_timestamp() AND channel <> 'desk'
        AND (lease_until IS NULL OR lease_until < clock_timestamp())
        AND channel || ':' || recipient <> ALL (%(busy)s)
        AND (digest_at IS NULL OR NOT EXISTS (
            SELECT 1 FROM fraud.outbox leader WHERE leader.status = 'pending' AND leader.channel = waiting.channel
                AND leader.recipient = waiting.recipient AND leader.digest_at = waiting.digest_at
                AND leader.lease_until > clock_timestamp()))
    ORDER BY next_attempt_at, outbox_id LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE fraud.outbox o SET lease_until = clock_timestamp() + %(lease)s, attempts = o.attempts + 1
FROM due WHERE o.outbox_id = due.outbox_id RETURNING o.*
"""
_ALERTS: LiteralString = """
SELECT alert_id, subject_kind, subject, typology, level, score, amount, currency, detected_at, event_time, reasons
FROM fraud.alerts WHERE alert_id = ANY (%s)
"""
_EARLIER: LiteralString = """
SELECT a.detected_at, a.level, a.score, a.amount FROM fraud.alerts a
JOIN fraud.outbox o ON o.alert_id = a.alert_id AND o.channel = %(channel)s AND o.recipient = %(recipient)s
WHERE a.subject_kind = %(subject_kind)s AND a.subject = %(subject)s AND a.typology = %(typology)s
    AND a.detected_at >= %(since)s AND (a.detected_at, a.alert_id) < (%(detected_at)s, %(alert_id)s)
ORDER BY a.detected_at DESC, a.alert_id DESC LIMIT %(most)s
"""
# A row that is going to be skipped counts while it is undecided: at worst a message comes in the digest.
_RANK: LiteralString = """
SELECT count(*) AS n FROM fraud.alerts a
JOIN fraud.outbox o ON o.alert_id = a.alert_id AND o.channel = %(channel)s AND o.recipient = %(recipient)s
WHERE a.detected_at >= date_trunc('minute', %(detected_at)s::timestamptz)
    AND (a.detected_at, a.alert_id) < (%(detected_at)s, %(alert_id)s)
    AND o.status <> 'skipped' AND NOT o.escalation
"""
_GATHER: LiteralString = """
UPDATE fraud.outbox SET digest_of = %(leader)s
WHERE outbox_id IN (
    SELECT outbox_id FROM fraud.outbox
    WHERE status = 'pending' AND channel = %(channel)s AND recipient = %(recipient)s AND digest_at = %(digest_at)s
        AND digest_of IS NULL AND outbox_id <> %(leader)s
        AND (lease_until IS NULL OR lease_until < clock_timestamp())
    FOR UPDATE SKIP LOCKED
)
"""
_FOLLOW: LiteralString = """
UPDATE fraud.outbox SET status = %(status)s, decision = 'digest', last_error = %(why)s
WHERE digest_of = %(leader)s AND status = 'pending'
"""
_OVERDUE: LiteralString = """
SELECT DISTINCT o.alert_id, r.escalate_channel, r.escalate_recipient FROM fraud.notification_route r
JOIN fraud.outbox o ON o.channel = r.channel AND o.recipient = r.recipient AND o.status <> 'skipped'
    AND NOT o.escalation
JOIN fraud.alerts a ON a.alert_id = o.alert_id AND a.status = 'new'
    AND a.detected_at BETWEEN clock_timestamp() - r.escalate_after - interval '1 day'
        AND clock_timestamp() - r.escalate_after
WHERE r.enabled AND r.escalate_after IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM fraud.outbox e WHERE e.alert_id = o.alert_id
        AND e.channel = r.escalate_channel AND e.recipient = r.escalate_recipient)
LIMIT 500
"""


def claim(connection: Connection, lease: timedelta, busy: Sequence[str]) -> Row | None:
    """Take one due row under a lease and count the attempt; None when nothing is due.

    Args:
        busy: recipients (`channel:recipient`) that have enough under way.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_CLAIM, {"lease": lease, "busy": list(busy)}).fetchone()


def settle_desk(connection: Connection) -> int:
    """Rows of the desk are delivered by being there: the dashboard shows them. Returns how many, a thousand at most."""
    return connection.execute(
        "UPDATE fraud.outbox SET status = 'sent', decision = 'send', sent_at = clock_timestamp() WHERE outbox_id IN ("
        "SELECT outbox_id FROM fraud.outbox WHERE status = 'pending' AND channel = 'desk'"
        " ORDER BY next_attempt_at LIMIT 1000 FOR UPDATE SKIP LOCKED)"
    ).rowcount


def renew(connection: Connection, ids: Sequence[int], lease: timedelta) -> None:
    """Keep rows that are still being sent."""
    connection.execute(
        "UPDATE fraud.outbox SET lease_until = clock_timestamp() + %s"
        " WHERE outbox_id = ANY (%s) AND status = 'pending'",
        (lease, list(ids)),
    )


def route(connection: Connection, row: Row) -> Route:
    """The route of a row; one that was removed meanwhile counts as disabled."""
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(
            "SELECT * FROM fraud.notification_route WHERE channel = %s AND recipient = %s",
            (row["channel"], row["recipient"]),
        ).fetchone()
    if found is None:
        return Route(row["channel"], row["recipient"], enabled=False)
    values = {name: found[name] for name in Route.__dataclass_fields__}
    return Route(**values | {"typologies": tuple(found["typologies"])})


def alerts(connection: Connection, ids: Sequence[str]) -> list[Alert]:
    """Alerts by id."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_ALERTS, (list(ids),)).fetchall()
    return [Alert(**row | {"reasons": tuple(str(each.get("text", "")) for each in row["reasons"])}) for row in rows]


def earlier(connection: Connection, row: Row, alert: Alert) -> list[Told]:
    """Alerts of the last week that the same recipient was to hear of, about the same subject and typology, in order."""
    values = {
        "channel": row["channel"],
        "recipient": row["recipient"],
        "subject_kind": alert.subject_kind,
        "subject": alert.subject,
        "typology": alert.typology,
        "detected_at": alert.detected_at,
        "alert_id": alert.alert_id,
        "since": alert.detected_at - _HISTORY,
        "most": _HISTORY_ROWS,
    }
    with connection.cursor(row_factory=dict_row) as cursor:
        return [Told(**found) for found in reversed(cursor.execute(_EARLIER, values).fetchall())]


def rank(connection: Connection, row: Row, alert: Alert) -> int:
    """How many of the recipient's rows come before this one in its minute."""
    values = {
        "channel": row["channel"],
        "recipient": row["recipient"],
        "detected_at": alert.detected_at,
        "alert_id": alert.alert_id,
    }
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(_RANK, values).fetchone()
    return int(found["n"]) if found else 0


def ops_alert(connection: Connection, ops_id: int) -> Row:
    """An operations alert."""
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute("SELECT * FROM fraud.ops_alerts WHERE ops_id = %s", (ops_id,)).fetchone()
    if found is None:
        raise LookupError(f"operations alert {ops_id} does not exist")
    return found


def keep_decision(connection: Connection, outbox_id: int, decision: str) -> None:
    """Decide once: whoever tries again sends the same."""
    connection.execute("UPDATE fraud.outbox SET decision = %s WHERE outbox_id = %s", (decision, outbox_id))


def hold(connection: Connection, outbox_id: int, until: datetime, why: str) -> None:
    """Leave the row for the digest at `until`; looking at it was no attempt.

    When that moment has passed, after an outage, it still waits a little, so that the rows behind it come along.
    """
    connection.execute(
        "UPDATE fraud.outbox SET digest_at = %s, decision = 'digest', last_error = %s,"
        " lease_until = NULL, attempts = attempts - 1,"
        " next_attempt_at = greatest(%s, clock_timestamp() + %s) WHERE outbox_id = %s",
        (until, f"held: {why}", until, DIGEST_SETTLE, outbox_id),
    )


def gather(connection: Connection, row: Row) -> list[str]:
    """Make this row the leader of its digest; returns the alerts in it, also those gathered by an earlier attempt."""
    connection.execute(
        _GATHER, {name: row[name] for name in ("channel", "recipient", "digest_at")} | {"leader": row["outbox_id"]}
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "SELECT alert_id FROM fraud.outbox WHERE digest_of = %(id)s OR outbox_id = %(id)s ORDER BY outbox_id",
            {"id": row["outbox_id"]},
        ).fetchall()
    return [found["alert_id"] for found in rows]


def mark_sent(connection: Connection, outbox_id: int) -> None:
    """It arrived, and with it what came in its digest."""
    connection.execute(
        "UPDATE fraud.outbox SET status = 'sent', sent_at = clock_timestamp(), lease_until = NULL, last_error = NULL"
        " WHERE outbox_id = %s AND status = 'pending'",
        (outbox_id,),
    )
    connection.execute(_FOLLOW, {"status": "skipped", "why": f"told in digest outbox-{outbox_id}", "leader": outbox_id})


def mark_skipped(connection: Connection, outbox_id: int, why: str) -> None:
    """The route does not want it."""
    connection.execute(
        "UPDATE fraud.outbox SET status = 'skipped', decision = 'skip', lease_until = NULL, last_error = %s"
        " WHERE outbox_id = %s AND status = 'pending'",
        (why, outbox_id),
    )


def mark_failed(connection: Connection, outbox_id: int, why: str, pause: float) -> None:
    """Try again after `pause` seconds."""
    connection.execute(
        "UPDATE fraud.outbox SET next_attempt_at = clock_timestamp() + %s, lease_until = NULL, last_error = %s"
        " WHERE outbox_id = %s AND status = 'pending'",
        (timedelta(seconds=pause), why, outbox_id),
    )


def mark_dead(connection: Connection, outbox_id: int, why: str) -> None:
    """Give up until somebody retries it, and with it what would have come in its digest."""
    connection.execute(
        "UPDATE fraud.outbox SET status = 'dead', lease_until = NULL, last_error = %s"
        " WHERE outbox_id = %s AND status = 'pending'",
        (why, outbox_id),
    )
    connection.execute(_FOLLOW, {"status": "dead", "why": why, "leader": outbox_id})


def escalate_overdue(connection: Connection) -> int:
    """Queue those alerts for somebody else that nobody has taken in time; returns how many."""
    with connection.cursor(row_factory=dict_row) as cursor:
        made = 0
        for row in cursor.execute(_OVERDUE).fetchall():
            told = cursor.execute(
                "SELECT fraud.escalate(%s, %s, %s) AS made",
                (row["alert_id"], row["escalate_channel"], row["escalate_recipient"]),
            ).fetchone()
            made += bool(told and told["made"])
    return made


def subscriptions(connection: Connection, recipient: str) -> list[Subscription]:
    """The devices of a recipient of web push."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "SELECT subscription_id, endpoint, p256dh, auth FROM fraud.push_subscriptions WHERE recipient = %s"
            " ORDER BY subscription_id",
            (recipient,),
        ).fetchall()
    return [Subscription(**row) for row in rows]


def forget_subscriptions(connection: Connection, ids: Sequence[int]) -> None:
    """Devices that unsubscribed."""
    connection.execute("DELETE FROM fraud.push_subscriptions WHERE subscription_id = ANY (%s)", (list(ids),))

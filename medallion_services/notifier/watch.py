"""The dead-man's check outside Dagster: streams that are wanted and silent, messages that do not go out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from fraud_domain.settings import Settings
from fraud_domain.streams import STREAMS, applications

COOLDOWN = timedelta(hours=1)
_BEATS: LiteralString = """
SELECT b.stream, b.beat_at, b.state, coalesce(c.desired, 'running') AS desired
FROM fraud.stream_heartbeat b LEFT JOIN fraud.stream_wanted c ON c.application = b.application
"""
# Held rows are not due: their next attempt is when the digest goes out. A dead one is told of for a day: some, such as
# those with a card number in them, are never sent again.
_OUTBOX: LiteralString = """
SELECT (SELECT min(greatest(created_at, coalesce(digest_at, created_at))) FROM fraud.outbox
        WHERE status = 'pending' AND digest_of IS NULL AND coalesce(digest_at, created_at) <= clock_timestamp()
       ) AS oldest,
       (SELECT count(*) FROM fraud.outbox WHERE status = 'dead' AND alert_id IS NOT NULL
        AND created_at > clock_timestamp() - interval '1 day') AS dead
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is wrong: what `fraud.raise_ops_alert` needs."""

    key: str
    severity: str
    title: str
    body: str
    page: str


def silent_streams(beats: Sequence[Mapping[str, Any]], now: datetime, silence: timedelta) -> list[Finding]:
    """A finding per stream that is wanted running and whose heartbeat is too old. Never started is not silent."""
    found = []
    for beat in beats:
        age = now - beat["beat_at"]
        if beat["desired"] != "running" or age <= silence:
            continue
        minutes = int(age.total_seconds() // 60)
        found.append(
            Finding(
                f"stream-silent:{beat['stream']}",
                "critical",
                f"Stream {beat['stream']} is silent",
                f"It is wanted running; its last heartbeat is {minutes} min old, its last state '{beat['state']}'."
                " Dagster's guard should have started it again: look whether Dagster itself runs.",
                "stream-stopped",
            )
        )
    return found


def stuck_outbox(oldest: datetime | None, dead: int, now: datetime, age: timedelta) -> list[Finding]:
    """Findings about messages that wait too long, and about dead ones."""
    found = []
    if oldest is not None and now - oldest > age:
        minutes = int((now - oldest).total_seconds() // 60)
        found.append(
            Finding(
                "outbox-old",
                "critical",
                "Notifications are late",
                f"The oldest message has waited for {minutes} min. `medallion notify list` shows the last errors.",
                "notifications",
            )
        )
    if dead:
        found.append(
            Finding(
                "outbox-dead",
                "warning",
                "Notifications were given up",
                f"{dead} messages of the last day are dead. `medallion notify list --dead` says why;"
                " `medallion notify retry --dead` sends them again after a correction.",
                "notifications",
            )
        )
    return found


def look(connection: psycopg.Connection[Any], settings: Settings) -> list[Finding]:
    """Raise what is wrong, resolve what is not any more; returns the findings."""
    notifier, now = settings.notifier, datetime.now(UTC)
    known = {name for application in applications(settings.streams.layout) for name in application.stream_names}
    with connection.cursor(row_factory=dict_row) as cursor:
        beats = [row for row in cursor.execute(_BEATS).fetchall() if row["stream"] in known]
        queue = cursor.execute(_OUTBOX).fetchone() or {"oldest": None, "dead": 0}
        findings = [
            *silent_streams(beats, now, timedelta(seconds=notifier.silence_seconds)),
            *stuck_outbox(queue["oldest"], queue["dead"], now, timedelta(seconds=notifier.outbox_age_seconds)),
        ]
        for found in findings:
            cursor.execute(
                "SELECT fraud.raise_ops_alert(%s, %s, %s, %s, %s, %s)",
                (found.key, found.severity, found.title, found.body, found.page, COOLDOWN),
            )
        causes = {"outbox-old", "outbox-dead", *(f"stream-silent:{stream.name}" for stream in STREAMS)}
        over = sorted(causes - {found.key for found in findings})
        cursor.execute(
            "SELECT fraud.resolve_ops_alert(key) FROM fraud.ops_alerts WHERE resolved_at IS NULL AND key = ANY (%s)",
            (over,),
        )
    return findings

"""The health of the stack: every component asked for real, every stream by its heartbeat, the alert latency."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from fraud_domain.settings import MissingSecretError, Settings
from fraud_domain.streams import STREAMS
from medallion_services.embedded import kafka_topics, probes
from medallion_services.embedded.dagster_processes import CODE_SERVER, DAEMON, WEBSERVER
from medallion_services.embedded.owner import OwnerState, read_state
from medallion_services.embedded.processes import ProcessId
from medallion_services.embedded.stack import DASHBOARD, GENERATOR, NOTIFIER

LATENCY_WINDOW = timedelta(minutes=10)
_NAMES = tuple(stream.name for stream in STREAMS)
_ENDED = frozenset({"failed", "stopped"})

_BEATS: LiteralString = """
SELECT beat.*, control.desired FROM fraud.stream_heartbeat AS beat
LEFT JOIN fraud.stream_wanted AS control USING (application)
"""
_PROGRESS: LiteralString = """
SELECT DISTINCT ON (stream) stream, at, input_rows, rows_per_second, batch_ms, lag_rows
FROM fraud.stream_progress WHERE at > %s ORDER BY stream, at DESC
"""
# Alerts about history that was loaded late would show the age of the data, not the speed of the lane.
_LATENCY: LiteralString = """
SELECT count(*) AS alerts, percentile_cont(0.5) WITHIN GROUP (ORDER BY latency) AS p50,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY latency) AS p99
FROM (SELECT 1000 * extract(epoch FROM detected_at - kafka_timestamp)::float8 AS latency
      FROM fraud.alerts WHERE detected_at > %(since)s AND kafka_timestamp > %(since)s) AS recent
"""


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """The answer of one component."""

    name: str
    healthy: bool
    detail: str


@dataclass(frozen=True, slots=True)
class StreamHealth:
    """What one stream last said."""

    name: str
    healthy: bool
    state: str
    beat_age_seconds: float | None = None
    batch_id: int | None = None
    rows_per_second: float | None = None
    batch_ms: float | None = None
    lag_rows: int | None = None


@dataclass(frozen=True, slots=True)
class AlertLatency:
    """Milliseconds from Kafka to alert, over the last minutes."""

    alerts: int
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Health:
    """Everything `medallion status` shows."""

    owner_pid: int | None
    phase: str
    components: tuple[ComponentHealth, ...]
    streams: tuple[StreamHealth, ...]
    latency: AlertLatency | None

    @property
    def healthy(self) -> bool:
        """Whether nothing needs attention."""
        return all(each.healthy for each in self.components) and all(each.healthy for each in self.streams)


def judge_stream(
    name: str, beat: dict[str, Any] | None, progress: dict[str, Any] | None, now: datetime, stale_after: float
) -> StreamHealth:
    """What a heartbeat row and the last progress row say about a stream."""
    if beat is None:
        return StreamHealth(name, healthy=False, state="never started")
    age = (now - beat["beat_at"]).total_seconds()
    ended = beat["state"] in _ENDED
    silent = age > stale_after and not ended
    on_request = beat["state"] == "stopped" and beat.get("desired") == "stopped"
    last = progress or {}
    return StreamHealth(
        name,
        healthy=on_request or not (ended or silent),
        state=f"{beat['state']}{' on request' if on_request else ', but silent' if silent else ''}",
        beat_age_seconds=round(age, 1),
        batch_id=beat["batch_id"],
        rows_per_second=last.get("rows_per_second"),
        batch_ms=last.get("batch_ms"),
        lag_rows=last.get("lag_rows"),
    )


def _streams_and_latency(settings: Settings, now: datetime) -> tuple[tuple[StreamHealth, ...], AlertLatency | None]:
    unknown = tuple(StreamHealth(name, healthy=False, state="unknown") for name in _NAMES)
    try:
        parameters: dict[str, Any] = {**settings.postgres_parameters("fraud_reader"), "connect_timeout": 2}
        with psycopg.connect(**parameters) as connection, connection.cursor(row_factory=dict_row) as cursor:
            beats = {row["stream"]: row for row in cursor.execute(_BEATS)}
            progress = {row["stream"]: row for row in cursor.execute(_PROGRESS, (now - LATENCY_WINDOW,))}
            row = cursor.execute(_LATENCY, {"since": now - LATENCY_WINDOW}).fetchone() or {}
    except (psycopg.Error, MissingSecretError):
        return unknown, None
    stale = settings.streams.stale_after_seconds
    streams = tuple(judge_stream(name, beats.get(name), progress.get(name), now, stale) for name in _NAMES)
    return streams, AlertLatency(row.get("alerts", 0), row.get("p50"), row.get("p99"))


def _runs(owner: OwnerState | None, name: str) -> bool:
    """Whether a process without an endpoint of its own is there."""
    state = owner.components.get(name) if owner else None
    if state is None or state.pid is None or state.created is None:
        return False
    return ProcessId(state.pid, state.created).find() is not None


def _questions(
    settings: Settings, owner: OwnerState | None, now: datetime
) -> tuple[tuple[str, str, Callable[[], bool]], ...]:
    questions: list[tuple[str, str, Callable[[], bool]]] = [
        (
            "postgres",
            f"{settings.postgres_host}:{settings.postgres.port}",
            lambda: probes.database_answers(settings),
        ),
        ("kafka", settings.kafka_bootstrap, lambda: kafka_topics.answers(settings)),
        (CODE_SERVER, f"127.0.0.1:{settings.dagster.code_port}", lambda: probes.code_server_answers(settings)),
        (
            WEBSERVER,
            f"http://{settings.dagster.host}:{settings.dagster.port}",
            lambda: probes.webserver_answers(settings),
        ),
        (DAEMON, "heartbeat of its sensors", lambda: probes.daemon_answers(settings, now)),
    ]
    if settings.dashboard.enabled:
        address = f"http://{settings.dashboard.host}:{settings.dashboard.port}"
        questions.append((DASHBOARD, address, lambda: probes.dashboard_answers(settings)))
    if owner and NOTIFIER in owner.components:
        questions.append((NOTIFIER, "messages to people", lambda: _runs(owner, NOTIFIER)))
    wanted = GENERATOR in owner.components if owner else False
    if wanted:
        questions.append((GENERATOR, f"{settings.generator.rate:g} transactions/s", lambda: _runs(owner, GENERATOR)))
    return tuple(questions)


def _ask(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except MissingSecretError:
        return False


def examine(settings: Settings, now: datetime) -> Health:
    """Ask everything at once; takes as long as the slowest answer, a few seconds at most."""
    owner = read_state(settings)
    questions = _questions(settings, owner, now)
    with ThreadPoolExecutor(max_workers=len(questions) + 1) as pool:
        pending = [pool.submit(_ask, question) for _, _, question in questions]
        streams, latency = _streams_and_latency(settings, now)
        answers = [each.result() for each in pending]
    components = []
    for (name, detail, _), answer in zip(questions, answers, strict=True):
        state = owner.components.get(name) if owner else None
        restarts = f", {state.restarts} restarts" if state and state.restarts else ""
        components.append(ComponentHealth(name, answer, f"{detail}{restarts}" if answer else f"{detail}: no answer"))
    return Health(
        owner_pid=owner.pid if owner else None,
        phase=owner.phase if owner else "not running",
        components=tuple(components),
        streams=streams,
        latency=latency,
    )

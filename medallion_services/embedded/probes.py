"""Real questions to the running processes, each answered within about two seconds.

A probe returns False for "does not answer (properly)"; it never raises for that.
"""

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from fraud_domain.settings import MissingSecretError, Settings
from medallion_services.embedded.ports import LOOPBACK, accepts

_TIMEOUT = 2.0
_DAEMON_BEAT = timedelta(seconds=90)
"""Dagster's daemons beat every 30 s."""


def webserver_answers(settings: Settings) -> bool:
    """Whether Dagster's webserver serves requests."""
    url = f"http://{LOOPBACK}:{settings.dagster.port}/server_info"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
            return "dagster_webserver_version" in json.load(answer)
    except (OSError, ValueError, urllib.error.URLError):
        return False


def dashboard_answers(settings: Settings) -> bool:
    """Whether the dashboard serves requests."""
    host = settings.dashboard.host
    address = LOOPBACK if host in ("0.0.0.0", "::", "localhost") else host  # noqa: S104 - compared, not bound
    try:
        with urllib.request.urlopen(f"http://{address}:{settings.dashboard.port}/health", timeout=_TIMEOUT) as answer:
            return bool(json.load(answer).get("service") == "medallion-dashboard")
    except (OSError, ValueError, urllib.error.URLError):
        return False


def code_server_answers(settings: Settings) -> bool:
    """Whether the code server reports itself as serving (gRPC health protocol)."""
    if not accepts(settings.dagster.code_port):
        return False
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    try:
        with grpc.insecure_channel(f"{LOOPBACK}:{settings.dagster.code_port}") as channel:
            request = health_pb2.HealthCheckRequest(service="DagsterApi")
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=_TIMEOUT)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _parameters(settings: Settings, role: str) -> dict[str, Any]:
    return {**settings.postgres_parameters(role), "connect_timeout": 2}


def daemon_beat_since(settings: Settings, moment: datetime) -> bool:
    """Whether Dagster's sensor daemon has written a heartbeat after `moment`."""
    parameters = _parameters(settings, "dagster") | {"dbname": settings.postgres.dagster_database}
    query = "SELECT max(timestamp) FROM daemon_heartbeats WHERE daemon_type = 'SENSOR'"
    try:
        with psycopg.connect(**parameters) as connection:
            row = connection.execute(query).fetchone()
    except psycopg.Error:
        return False
    return bool(row and row[0] and row[0].replace(tzinfo=UTC) >= moment)


def daemon_answers(settings: Settings, now: datetime) -> bool:
    """Whether Dagster's daemon is alive: its last heartbeat is recent."""
    return daemon_beat_since(settings, now - _DAEMON_BEAT)


def database_answers(settings: Settings) -> bool:
    """Whether the fraud database lets its reader in."""
    try:
        with psycopg.connect(**_parameters(settings, "fraud_reader")) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except (psycopg.Error, MissingSecretError):
        return False

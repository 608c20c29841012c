"""A desk under test: the real application in process on a real PostgreSQL, with alerts, people and clients."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import psycopg
from fastapi import FastAPI
from psycopg.types.json import Jsonb

from fraud_domain.settings import Settings
from medallion_assets_tests.http_server import serving
from medallion_assets_tests.pipeline import database
from medallion_services.dashboard.access import Role
from medallion_services.dashboard.app import create_app
from medallion_services.dashboard.passwords import hash_password
from medallion_services.embedded.ports import free_ports
from medallion_services.embedded.throwaway import own_database

T = TypeVar("T")
PASSWORD = "correct horse battery"
_NUMBERS = itertools.count(1)
_INSERT = """
INSERT INTO fraud.alerts (alert_id, transaction_id, customer_id, card_last4, merchant_id, event_time, amount, currency,
    type, channel, score, level, typology, rule_set_version, reasons, topic, partition, "offset", kafka_timestamp,
    subject_kind, subject)
VALUES (%(alert_id)s, %(transaction_id)s, %(customer_id)s, '4242', %(merchant_id)s, %(event_time)s, %(amount)s, 'BRL',
    'PIX', 'MOBILE_APP', %(score)s, %(level)s, %(typology)s, 'rules-1', %(reasons)s, 'transactions', 0, %(number)s,
    %(event_time)s, %(subject_kind)s, %(subject)s)
"""


@contextmanager
def with_people() -> Iterator[Settings]:
    """A database of its own with one user of each role, called `<role>-user`."""
    with own_database() as settings:
        for role in Role:
            add_user(settings, f"{role}-user", role)
        yield settings


@asynccontextmanager
async def api(settings: Settings, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application without login."""
    async with running(with_dashboard(settings)) as app, client(app, **headers) as http:
        yield http


def reason(rule_id: str = "PIX-1", contribution: float = 63.5) -> dict[str, Any]:
    """One reason as the engine writes it."""
    return {
        "rule_id": rule_id,
        "rule_version": "v1",
        "title": "Large PIX to a new key",
        "text": "PIX of 14,300.00 BRL to a key never used before, 38.0x the mean",
        "observed": "14300.00",
        "threshold": "900.00",
        "window": "30d",
        "weight": 45,
        "contribution": contribution,
        "history": 41,
    }


def add_alert(settings: Settings, tell: bool = True, **changes: Any) -> str:
    """Commit one alert as the stream's role does, with its notification; returns its id."""
    number = next(_NUMBERS)
    row: dict[str, Any] = {
        "alert_id": f"alert{number:05d}",
        "transaction_id": f"tx{number:05d}",
        "customer_id": f"cust{number:05d}",
        "merchant_id": "m1",
        "event_time": datetime.now(UTC),
        "amount": "812.40",
        "score": 63.5,
        "level": "medium",
        "typology": "pix_scam",
        "reasons": [reason()],
        "number": number,
        "subject_kind": "customer",
    } | changes
    row = {"subject": row["customer_id"]} | row | {"reasons": Jsonb(row["reasons"])}
    with psycopg.connect(**settings.postgres_parameters("fraud_writer")) as connection:
        connection.execute(_INSERT, row)
        if tell:
            connection.execute("SELECT pg_notify('fraud_alerts', '1')")
    return str(row["alert_id"])


def adopt(settings: Settings) -> None:
    """Take every alert up, as the desk does."""
    with database(settings, "fraud_desk") as connection:
        while (row := connection.execute("SELECT fraud.adopt_alerts(1000) AS n").fetchone()) and row["n"]:
            pass


def add_user(settings: Settings, name: str, role: str) -> None:
    """Somebody who may log in with `PASSWORD`."""
    with database(settings, "fraud_owner") as connection:
        connection.execute(
            "INSERT INTO fraud.users (user_name, role, password_hash) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (name, role, hash_password(PASSWORD)),
        )


def with_dashboard(settings: Settings, **dashboard: Any) -> Settings:
    """The settings with others for the dashboard, on a port that is free."""
    (port,) = free_ports(1)
    changed = settings.dashboard.model_copy(update={"requests_per_minute": 100_000, "port": port} | dashboard)
    return settings.model_copy(update={"dashboard": changed})


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application with its background tasks."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


def client(app: FastAPI, **headers: str) -> httpx.AsyncClient:
    """A client of the application; `headers` are sent with every request."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers)


async def log_in(http: httpx.AsyncClient, name: str) -> str:
    """Log in by the form; returns the CSRF token that the pages hold."""
    answer = await http.post("/login", data={"user": name, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    page = await http.get("/snoozes", headers={"accept": "text/html"})
    return page.text.split('data-csrf="')[1].split('"')[0]


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run an asynchronous scenario to its end, within a minute."""
    return asyncio.run(asyncio.wait_for(scenario, 60))


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """The application behind a real HTTP server, in a thread of its own; yields its address."""
    with serving(create_app(settings), settings.dashboard.port) as address:
        yield address

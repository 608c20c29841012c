"""A device is notified under the name of who is logged in: subscribe, unsubscribe, and what is refused."""

from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from fraud_domain.settings import Settings
from medallion_assets_tests.integration import desk
from medallion_services.database.prepare import admin_parameters
from medallion_services.embedded.throwaway import own_database
from medallion_services.notifier import webpush

ENDPOINT = "https://push.example/device/1"
DEVICE = {"endpoint": ENDPOINT, "expirationTime": None, "keys": {"p256dh": "B" * 87, "auth": "a" * 22}}


@pytest.fixture(scope="module")
def server() -> Iterator[Settings]:
    with own_database() as settings:
        yield settings


def subscriptions(settings: Settings) -> list[tuple[str, str]]:
    """Recipient and endpoint of each."""
    parameters = admin_parameters(settings, settings.postgres.database)
    with psycopg.connect(**parameters) as connection:
        rows = connection.execute("SELECT recipient, endpoint FROM fraud.push_subscriptions ORDER BY 1, 2").fetchall()
    return [(str(recipient), str(endpoint)) for recipient, endpoint in rows]


def asked(settings: Settings, method: str, path: str, body: Any = None) -> httpx.Response:
    """One request to the desk."""

    async def scenario() -> httpx.Response:
        async with desk.running(desk.with_dashboard(settings)) as app, desk.client(app) as http:
            return await http.request(method, path, json=body)

    return desk.run(scenario())


def test_a_device_subscribes_under_the_name_of_who_asks_and_can_leave(server: Settings) -> None:
    path = "/api/v1/push/subscriptions"
    assert asked(server, "POST", path, DEVICE).status_code == 204
    assert asked(server, "POST", path, DEVICE | {"recipient": "ana"}).status_code == 204
    assert subscriptions(server) == [("local", ENDPOINT)]
    assert asked(server, "DELETE", path, {"endpoint": "https://push.example/device/2"}).status_code == 204
    assert subscriptions(server) == [("local", ENDPOINT)]
    assert asked(server, "DELETE", path, {"endpoint": ENDPOINT}).status_code == 204
    assert subscriptions(server) == []


def test_an_endpoint_that_is_no_push_service_is_refused(server: Settings) -> None:
    for endpoint in ("http://10.0.0.7/internal", "file:///etc/passwd", "ftp://push.example/x"):
        answer = asked(server, "POST", "/api/v1/push/subscriptions", DEVICE | {"endpoint": endpoint})
        assert answer.status_code == 422
    assert asked(server, "POST", "/api/v1/push/subscriptions", DEVICE | {"keys": {}}).status_code == 422
    assert subscriptions(server) == []


def test_the_key_is_that_of_the_notifier_and_the_worker_stands_at_the_root(server: Settings) -> None:
    answer = asked(server, "GET", "/api/v1/push/key")
    assert answer.json() == {"key": webpush.public_key(server)}
    worker = asked(server, "GET", "/sw.js")
    assert worker.headers["content-type"].startswith("text/javascript")
    assert "push" in worker.text
    assert "worker-src 'self'" in worker.headers["content-security-policy"]
    assert asked(server, "GET", "/static/manifest.webmanifest").json()["display"] == "standalone"
    assert "data-push" in asked(server, "GET", "/queue").text

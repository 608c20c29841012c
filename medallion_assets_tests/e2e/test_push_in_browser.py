"""The service worker of web push in a real Chromium: what the notifier encrypts is what a person sees."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from medallion_services import notifier
from medallion_services.notifier import messages, webpush
from medallion_services.notifier.model import Alert

WEB = Path(notifier.__file__).parent / "web"
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
PAGE = (
    '<!doctype html><title>t</title><body data-csrf="t0k3n"><button data-push data-push-on="On" data-push-off="Off"'
    ' hidden>Notify</button><script type="module" src="push.js"></script>'
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The files as the dashboard would serve them, on a page with the button."""
    for file in WEB.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "index.html").write_text(PAGE, encoding="utf-8")

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def payload(key: str) -> str:
    """What the notifier sends about an alert."""
    alert = Alert("a1", "customer", "c1", "pix_scam", "critical", 97.0, Decimal(900), "BRL", NOW, NOW, ("because",))
    return webpush.payload(messages.alert_message(key, alert, "pt", "UTC", "https://desk.example")).decode()


SHOWN = """async () => (await (await navigator.serviceWorker.ready).getNotifications())
    .map((n) => ({title: n.title, tag: n.tag, url: n.data.url, body: n.body, stays: n.requireInteraction}))"""


def test_a_push_is_shown_and_a_repeat_replaces_it(browser: Browser, site: str) -> None:
    context = browser.new_context(base_url=site)
    context.grant_permissions(["notifications"], origin=site)
    page = context.new_page()
    tools = context.new_cdp_session(page)
    registrations: list[str] = []
    tools.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: registrations.extend(each["registrationId"] for each in event["registrations"]),
    )
    tools.send("ServiceWorker.enable")
    page.goto("/")
    page.get_by_role("button", name="On").wait_for()
    page.evaluate("async () => { await navigator.serviceWorker.ready }")

    def deliver(data: str) -> None:
        tools.send(
            "ServiceWorker.deliverPushMessage", {"origin": site, "registrationId": registrations[-1], "data": data}
        )

    for key in ("outbox-1", "outbox-1", "outbox-2"):
        deliver(payload(key))
    page.wait_for_function(f"async () => (await ({SHOWN})()).length === 2")
    shown = sorted(page.evaluate(SHOWN), key=lambda each: str(each["tag"]))
    assert [each["tag"] for each in shown] == ["outbox-1", "outbox-2"]
    assert shown[0]["title"] == "[crítico] Golpe do PIX: 900,00 BRL, pontuação 97"
    assert (shown[0]["url"], shown[0]["stays"]) == ("/alerts/a1", True)
    assert "because" in shown[0]["body"]
    context.close()


def test_the_key_of_the_server_is_decoded_as_browsers_want_it(browser: Browser, site: str) -> None:
    page = browser.new_page()
    page.goto(site)
    decoded = page.evaluate("async () => Array.from((await import('/push.js')).bytesOf('-_8AAQ'))")
    assert decoded == [0xFB, 0xFF, 0x00, 0x01]
    page.close()

"""What the tests of pages share: the desk that is shown, and how a page is opened, waited for and pictured."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from fraud_domain.settings import Settings
from medallion_assets_tests.e2e.desk_world import DeskWorld
from medallion_assets_tests.integration import desk
from medallion_assets_tests.pipeline import database

LIVE = 6
"""Alerts that are kept back, to be committed while somebody looks."""
PAGES = ("/", "/queue", "/cases", "/rules", "/streams", "/data", "/snoozes")
SECOND = 1_000


@dataclass(slots=True)
class Desk:
    """A desk with a fortnight behind it. With `login`, the same desk behind a login."""

    settings: Settings
    world: DeskWorld
    address: str
    login: str
    live: list[dict[str, Any]]
    commit: Callable[[list[dict[str, Any]]], None]

    def arrive(self) -> str:
        """One more alert is committed; returns its id."""
        alert = self.live.pop()
        self.commit([alert])
        return str(alert["alert_id"])

    def telling(self) -> str:
        """The open alert with the most reasons."""
        with database(self.settings) as connection:
            row = connection.execute(
                "SELECT alert_id FROM fraud.alerts WHERE status = 'new'"
                " ORDER BY jsonb_array_length(reasons) DESC, score DESC, alert_id LIMIT 1"
            ).fetchone()
        assert row is not None
        return str(row["alert_id"])


@contextmanager
def opened(browser: Browser, **context: Any) -> Iterator[Page]:
    """A page of a browser of its own; whatever its console complains about fails the test."""
    made = browser.new_context(**{"locale": "en-GB", "viewport": {"width": 1440, "height": 900}, **context})
    page = made.new_page()
    page.set_default_timeout(15 * SECOND)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        yield page
        # A refused change is an answer of 409, which Chromium reports as an error too.
        assert [each for each in complaints if "409" not in each] == []
    finally:
        made.close()


def log_in(page: Page, address: str, name: str) -> None:
    page.goto(f"{address}/queue")
    page.get_by_label("User").fill(name)
    page.get_by_label("Password").fill(desk.PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Queue")).to_be_visible()


def live(page: Page) -> None:
    """Wait until the page listens."""
    expect(page.locator("#live")).to_have_attribute("data-state", "open")


def picture(page: Page, name: str) -> None:
    """Write a picture for the documentation, when they are asked for."""
    if directory := os.environ.get("DESK_PICTURES"):
        page.wait_for_timeout(1_500)
        page.screenshot(path=str(Path(directory) / f"{name}.png"))

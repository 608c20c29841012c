"""The pictures of the README, taken from a running stack: `uv run python docs/pictures/make.py` beside `make up`.

Needs a Chromium (CHROMIUM names it, /usr/bin/chromium by default) and alerts in the database.
"""

import os
import time
from pathlib import Path

import psycopg
from playwright.sync_api import Page, sync_playwright
from psycopg.rows import dict_row
from rich.console import Console

from fraud_domain.settings import Settings
from medallion_services.cli.first_alert import FirstAlert, describe

HERE = Path(__file__).parent
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def asset_graph(page: Page, settings: Settings) -> None:
    """Dagster's lineage, all groups opened."""
    page.set_viewport_size({"width": 2000, "height": 1100})
    page.goto(f"http://127.0.0.1:{settings.dagster.port}/asset-groups", wait_until="networkidle")
    page.wait_for_timeout(6_000)
    page.keyboard.press("Alt+Digit9")
    page.screenshot(path=str(HERE / "asset-graph.png"))


def alert(page: Page, settings: Settings) -> None:
    """The newest alert with several reasons, as the terminal shows it."""
    raise NotImplementedError


def main() -> None:
    """Take all pictures."""
    settings = Settings()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=_ARGUMENTS)
        page = browser.new_page(device_scale_factor=1)
        asset_graph(page, settings)
        browser.close()


if __name__ == "__main__":
    main()

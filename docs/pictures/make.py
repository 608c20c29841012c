"""The pictures of the README, taken from a running stack: `uv run python docs/pictures/make.py` beside `make up`.

Needs a Chromium (CHROMIUM names it, /usr/bin/chromium by default) and alerts in the database.
"""

import io
import os
from pathlib import Path

import psycopg
from playwright.sync_api import Page, sync_playwright
from psycopg.rows import dict_row
from rich.console import Console

from fraud_domain.settings import Settings
from medallion_services.cli.first_alert import describe

HERE = Path(__file__).parent
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_TELLING = "SELECT * FROM fraud.alerts ORDER BY jsonb_array_length(reasons) DESC, detected_at DESC LIMIT 1"


def asset_graph(page: Page, settings: Settings) -> None:
    """Lineage from the Kafka topics to a mart, as Dagster draws it."""
    page.set_viewport_size({"width": 1900, "height": 700})
    asset = "assets/mart/rule_metrics_daily?view=lineage&lineageScope=upstream&lineageDepth=6"
    page.goto(f"http://127.0.0.1:{settings.dagster.port}/{asset}")
    page.wait_for_timeout(7_000)
    if page.get_by_role("button", name="Skip").is_visible():  # Dagster's greeting on a new instance
        page.get_by_role("button", name="Skip").click()
    page.wait_for_timeout(3_000)
    page.screenshot(path=str(HERE / "asset-graph.png"))


def alert(page: Page, settings: Settings) -> None:
    """The alert with the most reasons, as the terminal shows it."""
    parameters = settings.postgres_parameters("fraud_reader")
    with psycopg.connect(**parameters, row_factory=dict_row) as connection:
        row = connection.execute(_TELLING).fetchone()
    if row is None:
        raise SystemExit("no alert yet: wait for one and run this again")
    console = Console(record=True, width=130, file=io.StringIO())
    for line in describe(row)[:-1]:
        console.print(line, highlight=False)
    page.set_viewport_size({"width": 1600, "height": 420})
    page.set_content(console.export_svg(title="medallion up"))
    page.locator("svg").first.screenshot(path=str(HERE / "alert.png"))


def main() -> None:
    """Take all pictures."""
    settings = Settings()
    browser_path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=_ARGUMENTS)
        page = browser.new_page()
        asset_graph(page, settings)
        alert(page, settings)
        browser.close()


if __name__ == "__main__":
    main()

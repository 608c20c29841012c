"""How the pages look and who can use them: charts, languages, barriers, phones, pictures.

DESK_PICTURES=docs/pictures also writes the pictures of the documentation.
"""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, expect

from medallion_assets_tests.e2e.desk_pages import PAGES, SECOND, Desk, live, opened, picture


def test_language_and_theme_are_switched_and_kept(shown: Desk, browser: Browser) -> None:
    with opened(browser) as page:
        page.goto(shown.address)
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        page.locator("#language").click()
        expect(page.get_by_role("heading", name="Visão geral")).to_be_visible()
        before = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.locator("#theme").click()
        page.goto(f"{shown.address}/queue")
        expect(page.locator("html")).to_have_attribute("lang", "pt")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_overview_draws_every_chart_and_follows_what_happens(shown: Desk, browser: Browser) -> None:
    with opened(browser) as page:
        page.goto(f"{shown.address}/?period=30d")
        live(page)
        plots = page.locator("[data-chart]")
        for index in range(plots.count()):
            plot = plots.nth(index)
            expect(plot.locator("canvas").first.or_(plot.and_(page.locator(".empty")))).to_be_visible()
        empty = page.locator(".plot.empty").evaluate_all("all => all.map(each => each.dataset.metric)")
        assert set(empty) <= {"dispositions", "latency"}, "these need findings, and alerts of the last two hours"
        alert_id = shown.arrive()
        expect(page.locator(f'#feed li[data-alert="{alert_id}"]')).to_be_visible(timeout=2 * SECOND)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_barrier_on_any_page(shown: Desk, browser: Browser, scheme: Any) -> None:
    with opened(browser, color_scheme=scheme) as page:
        found = {}
        for path in (*PAGES, f"/alerts/{shown.telling()}", "/cases/1", "/queue?view=closed"):
            page.goto(shown.address + path)
            page.wait_for_timeout(600)
            found[path] = barriers(page)
        page.goto(f"{shown.address}/alerts/{shown.telling()}")
        page.keyboard.press("c")
        found["the dialog"] = barriers(page)
        page.goto(f"{shown.login}/login")
        found["the login"] = barriers(page)
        assert {path: each for path, each in found.items() if each} == {}


def barriers(page: Page) -> list[str]:
    """Serious and critical violations by axe, with where they are."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {[node['target'] for node in each['nodes']][:3]} {each['nodes'][0].get('failureSummary', '')}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("path", [*PAGES, "alert"])
def test_pages_fit_a_phone(shown: Desk, browser: Browser, path: str) -> None:
    phone = {"width": 390, "height": 844}
    with opened(browser, viewport=phone, is_mobile=True, has_touch=True, device_scale_factor=2) as page:
        page.goto(shown.address + (f"/alerts/{shown.telling()}" if path == "alert" else path))
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= phone["width"], "nothing sticks out sideways"
        if path in ("/queue", "alert"):
            picture(page, "phone-queue" if path == "/queue" else "phone-alert")


def test_pictures_of_the_documentation(shown: Desk, browser: Browser) -> None:
    """Every page that the documentation shows can be taken; written only when asked for."""
    with opened(browser) as page:
        for path, name in (
            ("/?period=7d", "dashboard"),
            ("/queue", "queue"),
            (f"/alerts/{shown.telling()}", "alert-page"),
            ("/rules", "rule-board"),
            ("/streams", "streams"),
        ):
            page.goto(shown.address + path)
            expect(page.locator("h1")).to_be_visible()
            picture(page, name)
    with opened(browser, color_scheme="dark") as page:
        page.goto(f"{shown.address}/alerts/{shown.telling()}")
        expect(page.locator("h1")).to_be_visible()
        picture(page, "alert-page-dark")

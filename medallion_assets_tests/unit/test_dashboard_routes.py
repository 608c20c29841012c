"""The application without a database: every route has a role, every page obeys the policy, the queue's SQL is bound."""

import asyncio
import itertools
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from fraud_domain.settings import Settings
from medallion_services.dashboard import api, gate, keyset, pages, queue
from medallion_services.dashboard.access import ACCESS, OPEN, Role
from medallion_services.dashboard.app import create_app, end
from medallion_services.dashboard.problems import Problem
from medallion_services.embedded.secrets import ensure_secrets

DASHBOARD = Path(gate.__file__).parent


def routes() -> set[tuple[str, str]]:
    """(method, path) of everything that the application answers."""
    found = [route for router in (*api.routers(), pages.router()) for route in router.routes]
    return {(method, route.path) for route in found if isinstance(route, APIRoute) for method in route.methods or ()}


def test_every_route_has_a_role_and_every_role_a_route() -> None:
    guarded = {(method, path) for method, path in routes() if path not in OPEN}
    assert guarded | {("GET", "/api/v1/openapi.json")} == set(ACCESS)


def test_what_changes_something_needs_an_analyst() -> None:
    for (method, path), role in ACCESS.items():
        assert method == "GET" or path == "/logout" or role is not Role.VIEWER, path


def test_openapi_describes_every_call_of_the_api(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    ensure_secrets(settings)
    document = create_app(settings).openapi()
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(m, p) for m, p in ACCESS if p.startswith("/api/") and not p.endswith("openapi.json")}


def test_templates_hold_no_inline_script_style_or_handler() -> None:
    for template in (DASHBOARD / "templates").glob("*.html"):
        text = template.read_text(encoding="utf-8")
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text), template.name
        for tag in re.findall(r"<script\b[^>]*>", text):
            assert "src=" in tag or 'type="application/json"' in tag, (template.name, tag)
        assert "| safe" not in text, template.name


def test_nothing_is_loaded_from_elsewhere() -> None:
    for file in [*(DASHBOARD / "templates").glob("*.html"), *(DASHBOARD / "static").glob("*.*s")]:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"(src|href)=\"https?://|url\(\s*['\"]?https?:|import .*https?:", text), file.name


def test_policy_allows_nothing_inline() -> None:
    assert "unsafe" not in gate.HEADERS["content-security-policy"]
    assert "default-src 'none'" in gate.HEADERS["content-security-policy"]


@pytest.mark.parametrize(("view", "sort"), list(itertools.product(queue.View, queue.Sort)))
def test_queue_statements_bind_every_value(view: queue.View, sort: queue.Sort) -> None:
    evil = "x'; DROP TABLE fraud.alerts; --"
    wanted = queue.Wanted(view, sort, level=evil, typology=evil, channel=evil, currency=evil, q=evil)
    if view in queue.BY_TIME_ONLY and sort in (queue.Sort.SCORE, queue.Sort.VALUE):
        with pytest.raises(Problem, match="sorted by time only"):
            queue.build(wanted, evil)
        return
    statement, parameters = queue.build(wanted, evil)
    assert "DROP" not in statement.as_string(None)
    assert parameters["q"] == evil
    assert "LIMIT" in statement.as_string(None)


def test_the_next_page_begins_after_the_last_row() -> None:
    cursor = keyset.encode(datetime(2026, 11, 24, tzinfo=UTC), "a9")
    newest, _ = queue.build(queue.Wanted(sort=queue.Sort.NEWEST, cursor=cursor), "me")
    oldest, parameters = queue.build(queue.Wanted(sort=queue.Sort.OLDEST, cursor=cursor), "me")
    assert "(detected_at, alert_id) < (" in newest.as_string(None)
    assert "(detected_at, alert_id) > (" in oldest.as_string(None)
    assert parameters["after_id"] == "a9"


def test_open_views_name_the_condition_of_their_indexes() -> None:
    for view, condition in queue.VIEWS.items():
        if view not in queue.BY_TIME_ONLY:
            assert condition.startswith("status <> 'closed'"), "else the partial indexes cannot be used"


def test_a_background_task_ends_even_when_its_first_cancellation_is_lost() -> None:
    async def scenario() -> tuple[bool, bool]:
        event, survived = asyncio.Event(), False

        async def work() -> None:
            nonlocal survived
            try:
                await asyncio.wait_for(event.wait(), 60)
                survived = True
            except asyncio.CancelledError:
                # Later versions of Python hand it on; here it is to be lost in each of them.
                survived = True
            await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        event.set()
        await asyncio.wait_for(end([task]), 10)
        return survived, task.cancelled()

    assert asyncio.run(scenario()) == (True, True)

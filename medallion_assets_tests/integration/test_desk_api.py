"""The API of the desk on a real PostgreSQL: work, locking, pages by key, export, languages, live events."""

import asyncio
import csv
import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from fraud_domain.settings import Settings
from medallion_assets_tests.integration import desk
from medallion_services.dashboard.access import ACCESS
from medallion_services.database.prepare import admin_parameters


@pytest.fixture(scope="module")
def server() -> Iterator[Settings]:
    with desk.with_people() as settings:
        yield settings


def test_an_alert_is_taken_worked_on_closed_and_its_history_tells_so(server: Settings) -> None:
    alert_id = desk.add_alert(server)

    async def scenario() -> dict[str, Any]:
        async with desk.api(server) as http:
            path = f"/api/v1/alerts/{alert_id}"
            taken = (await http.post(f"{path}/assign", json={"version": 1, "assigned_to": "local"})).json()
            assert (taken["status"], taken["assigned_to"], taken["version"]) == ("in_review", "local", 2)
            assert (await http.post(f"{path}/notes", json={"text": "called the customer"})).status_code == 201
            move = {"version": 2, "status": "waiting_customer", "note": "no answer yet"}
            assert (await http.post(f"{path}/transition", json=move)).json()["status"] == "waiting_customer"
            closing = {"version": 3, "disposition": "confirmed_fraud", "note": "it was not them"}
            assert (await http.post(f"{path}/close", json=closing)).json()["disposition"] == "confirmed_fraud"
            return dict((await http.get(path)).json())

    document = desk.run(scenario())
    actions = [event["action"] for event in reversed(document["trail"])]
    assert actions == ["moved", "noted", "moved", "closed"]
    assert document["alert"]["reasons"][0]["text"].startswith("PIX of 14,300.00 BRL")
    assert document["alert"]["offset"] is not None


def test_the_second_of_two_analysts_is_told_who_was_faster(server: Settings) -> None:
    alert_id = desk.add_alert(server)

    async def scenario() -> tuple[httpx.Response, httpx.Response]:
        async with desk.api(server) as http:
            close = f"/api/v1/alerts/{alert_id}/close"
            first = await http.post(close, json={"version": 1, "disposition": "verified"})
            return first, await http.post(close, json={"version": 1, "disposition": "confirmed_fraud"})

    first, second = desk.run(scenario())
    assert first.status_code == 200
    assert second.status_code == 409
    problem = second.json()
    assert second.headers["content-type"] == "application/problem+json"
    assert (problem["code"], problem["changed_by"], problem["version"]) == ("changed_meanwhile", "local", 2)
    assert "changed by local at" in problem["detail"]


def test_of_many_at_once_exactly_one_wins(server: Settings) -> None:
    alert_id = desk.add_alert(server)

    async def scenario() -> list[int]:
        async with desk.api(server) as http:
            body = {"version": 1, "status": "in_review"}
            path = f"/api/v1/alerts/{alert_id}/transition"
            answers = await asyncio.gather(*(http.post(path, json=body) for _ in range(12)))
            return sorted(answer.status_code for answer in answers)

    assert desk.run(scenario()) == [200] + [409] * 11


def test_an_illegal_move_says_what_is_allowed(server: Settings) -> None:
    alert_id = desk.add_alert(server)

    async def scenario() -> httpx.Response:
        async with desk.api(server) as http:
            body = {"version": 1, "status": "escalated"}
            return await http.post(f"/api/v1/alerts/{alert_id}/transition", json=body)

    answer = desk.run(scenario())
    assert answer.status_code == 409
    assert "from new it can go to in_review, closed" in answer.json()["detail"]


def test_pages_by_key_bring_every_alert_once(server: Settings) -> None:
    made = {desk.add_alert(server, customer_id="paged", typology="paging", score=50.0 + n % 3) for n in range(23)}

    async def scenario(sort: str) -> list[str]:
        seen, cursor = [], ""
        async with desk.api(server) as http:
            while True:
                query: dict[str, str | int] = {"typology": "paging", "sort": sort, "limit": 5, "cursor": cursor}
                found = (await http.get("/api/v1/alerts", params=query)).json()
                seen += [each["alert_id"] for each in found["alerts"]]
                cursor = found["next_cursor"]
                if not cursor:
                    return seen

    for sort in ("score", "newest", "oldest", "value"):
        seen = desk.run(scenario(sort))
        assert len(seen) == len(set(seen)) == 23
        assert set(seen) == made


def test_a_case_is_assigned_and_closed_as_a_whole(server: Settings) -> None:
    ids = [desk.add_alert(server, customer_id="case-of-three") for _ in range(3)]
    desk.adopt(server)

    async def scenario() -> tuple[dict[str, Any], int]:
        async with desk.api(server) as http:
            case_id = (await http.get(f"/api/v1/alerts/{ids[0]}")).json()["alert"]["case_id"]
            path = f"/api/v1/cases/{case_id}"
            body = {"version": 1, "assigned_to": "analyst-user"}
            assert (await http.post(f"{path}/assign", json=body)).status_code == 204
            assert (await http.post(f"{path}/assign", json=body)).status_code == 409
            closing = {"version": 2, "disposition": "confirmed_fraud"}
            assert (await http.post(f"{path}/close", json=closing)).json() == {"closed": 3}
            stale = await http.post(f"{path}/close", json=closing)
            return (await http.get(path)).json(), stale.status_code

    document, stale = desk.run(scenario())
    assert document["case"]["status"] == "closed"
    assert {each["assigned_to"] for each in document["alerts"]} == {"analyst-user"}
    assert stale == 409


def test_work_is_given_to_analysts_of_the_desk_only(server: Settings) -> None:
    alert_id = desk.add_alert(server)

    async def scenario(name: str) -> int:
        async with desk.api(server) as http:
            body = {"version": 1, "assigned_to": name}
            return (await http.post(f"/api/v1/alerts/{alert_id}/assign", json=body)).status_code

    assert [desk.run(scenario(name)) for name in ("nobody", "viewer-user", "analyst-user")] == [422, 422, 200]


def test_snoozes_are_made_listed_and_ended(server: Settings) -> None:
    async def scenario() -> list[int]:
        async with desk.api(server) as http:
            until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
            body = {"rule_id": "PIX-1", "subject_kind": "customer", "subject": "s1", "until": until, "reason": "known"}
            made = (await http.post("/api/v1/snoozes", json=body)).json()["id"]
            running_now = (await http.get("/api/v1/snoozes")).json()["snoozes"]
            assert made in {each["snooze_id"] for each in running_now}
            ended = await http.delete(f"/api/v1/snoozes/{made}")
            again = await http.delete(f"/api/v1/snoozes/{made}")
            past = await http.post("/api/v1/snoozes", json=body | {"until": "2020-01-01T00:00:00Z"})
            return [ended.status_code, again.status_code, past.status_code]

    assert desk.run(scenario()) == [204, 404, 422]


def test_export_holds_every_row_and_no_formula(server: Settings) -> None:
    evil = '=HYPERLINK("http://evil.example")'
    for _ in range(7):
        desk.add_alert(server, typology="exported", customer_id=evil)

    async def scenario() -> httpx.Response:
        async with desk.api(server) as http:
            return await http.get("/api/v1/alerts.csv", params={"typology": "exported", "limit": 2})

    answer = desk.run(scenario())
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len({row["alert_id"] for row in rows}) == 7
    assert {row["customer_id"] for row in rows} == {"'" + evil}
    assert answer.headers["content-disposition"].startswith("attachment")


def test_every_page_speaks_both_languages(server: Settings) -> None:
    desk.adopt(server)
    alert_id = desk.add_alert(server)
    desk.adopt(server)

    async def scenario() -> None:
        async with desk.api(server) as http:
            for method, path in ACCESS:
                if method != "GET" or path.startswith("/api/"):
                    continue
                address = path.format(alert_id=alert_id, case_id=1)
                english = await http.get(address, headers={"accept-language": "en"})
                portuguese = await http.get(address, headers={"accept-language": "pt-BR"})
                assert (english.status_code, portuguese.status_code) == (200, 200), path
                assert '<html lang="pt"' in portuguese.text
                assert "Visão geral" in portuguese.text
                assert "Overview" in english.text

    desk.run(scenario())


def test_an_event_reaches_a_client_within_a_second_of_the_commit(server: Settings) -> None:
    async def scenario() -> tuple[float, dict[str, Any]]:
        async with desk.running(desk.with_dashboard(server)) as app:
            hub = app.state.desk.hub
            events = hub.subscribe()
            await anext(events)
            while (await anext(events)).name != "reset":
                pass
            await asyncio.to_thread(desk.add_alert, server)
            committed = time.monotonic()
            while (event := await asyncio.wait_for(anext(events), 5)).name != "alerts":
                pass
            took = time.monotonic() - committed
            async with desk.client(app) as http:
                newest = (await http.get("/api/v1/alerts", params={"sort": "newest", "limit": 1})).json()["alerts"][0]
                body = {"version": newest["version"], "status": "in_review"}
                await http.post(f"/api/v1/alerts/{newest['alert_id']}/transition", json=body)
            while (event := await asyncio.wait_for(anext(events), 5)).name != "desk":
                pass
            return took, {"alert": newest["alert_id"], "event": event.data}

    took, told = desk.run(scenario())
    assert took < 1.0
    assert told["alert"] in told["event"]
    assert '"by": "local"' in told["event"]


def test_events_go_on_after_the_database_dropped_every_connection(server: Settings) -> None:
    async def scenario() -> tuple[str, int]:
        async with desk.running(desk.with_dashboard(server)) as app, desk.client(app) as http:
            events = app.state.desk.hub.subscribe()
            while (await anext(events)).name != "reset":
                pass
            with psycopg.connect(**admin_parameters(server), autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'fraud_desk'")
            while (await asyncio.wait_for(anext(events), 10)).name != "reset":
                pass
            alert_id = await asyncio.to_thread(desk.add_alert, server)
            while (await asyncio.wait_for(anext(events), 5)).name != "alerts":
                pass
            return alert_id, (await http.get(f"/api/v1/alerts/{alert_id}")).status_code

    assert desk.run(scenario())[1] == 200

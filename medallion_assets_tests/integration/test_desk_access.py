"""Who may do what at the desk: roles by route, logins, tokens, forged requests, limits, headers."""

from collections.abc import Iterator

import pytest

from fraud_domain.settings import Settings
from medallion_assets_tests.integration import desk
from medallion_assets_tests.pipeline import database
from medallion_services.dashboard.access import ACCESS, RANK, Role
from medallion_services.dashboard.passwords import new_token, token_hash


@pytest.fixture(scope="module")
def server() -> Iterator[Settings]:
    with desk.with_people() as settings:
        yield settings


def add_token(settings: Settings, role: Role, user: str | None = None, days: int = 1) -> str:
    """A bearer token of a user."""
    made = new_token("mdl_")
    with database(settings, "fraud_owner") as connection:
        connection.execute(
            "INSERT INTO fraud.api_tokens (user_name, label, token_hash, role, expires_at)"
            " VALUES (%s, 'test', %s, %s, clock_timestamp() + %s * interval '1 day')",
            (user or f"{role}-user", token_hash(made), role, days),
        )
    return made


def sample(path: str, alert_id: str) -> str:
    return path.format(alert_id=alert_id, case_id=1, snooze_id=1, name="level")


@pytest.mark.parametrize("role", Role)
def test_each_role_may_use_its_routes_and_no_other(server: Settings, role: Role) -> None:
    """Every route with a token of each role: 403 exactly where the table says so, whatever else is wrong."""
    alert_id = desk.add_alert(server)
    token = add_token(server, role)

    async def scenario() -> dict[tuple[str, str], int]:
        settings = desk.with_dashboard(server, auth=True)
        async with desk.running(settings) as app, desk.client(app, authorization=f"Bearer {token}") as http:
            found = {}
            for method, path in ACCESS:
                if path == "/api/v1/events":
                    continue
                answer = await http.request(method, sample(path, alert_id), json={} if method == "POST" else None)
                found[method, path] = answer.status_code
            return found

    for (method, path), status in desk.run(scenario()).items():
        allowed = RANK[role] >= RANK[ACCESS[method, path]]
        assert (status != 403) == allowed, f"{role} {method} {path}: {status}"
        assert status != 401
        assert status < 500 or path.endswith("/message"), f"{method} {path}: {status}"


def test_nothing_is_answered_without_a_login_but_the_health_check(server: Settings) -> None:
    alert_id = desk.add_alert(server)

    async def scenario() -> None:
        async with desk.running(desk.with_dashboard(server, auth=True)) as app, desk.client(app) as http:
            for method, path in ACCESS:
                address = sample(path, alert_id)
                assert (await http.request(method, address)).status_code == 401, f"{method} {path}"
                broken = await http.request(method, address, content="{", headers={"content-type": "application/json"})
                assert broken.status_code == 401, "nothing of a request is read before its sender is known"
                if method == "GET" and not path.startswith("/api/"):
                    page = await http.get(address, headers={"accept": "text/html"})
                    assert page.status_code == 303
                    assert page.headers["location"].startswith("/login?next=")
            assert (await http.get("/nothing-here")).status_code == 401
            assert (await http.get("/health")).json()["status"] == "ok"
            for bad in ("mdl_wrong", "", "x" * 5000):
                wrong = await http.get("/api/v1/me", headers={"authorization": f"Bearer {bad}"})
                assert wrong.status_code == 401

    desk.run(scenario())


def test_a_session_ends_with_logout_a_new_password_or_a_lock(server: Settings) -> None:
    desk.add_user(server, "leaving", "analyst")

    async def scenario() -> None:
        async with desk.running(desk.with_dashboard(server, auth=True)) as app, desk.client(app) as http:
            wrong = await http.post("/login", data={"user": "leaving", "password": "not it at all"})
            nobody = await http.post("/login", data={"user": "not-there", "password": "not it at all"})
            assert (wrong.status_code, nobody.status_code) == (401, 401)
            assert wrong.text.replace("leaving", "") == nobody.text.replace("not-there", "")
            csrf = await desk.log_in(http, "leaving")
            assert (await http.get("/api/v1/me")).json() == {"name": "leaving", "role": "analyst", "via": "session"}
            kept = dict(http.cookies)
            assert (await http.post("/logout", headers={"x-csrf-token": csrf})).status_code == 204
            http.cookies.update(kept)
            assert (await http.get("/api/v1/me")).status_code == 401, "the old cookie is worth nothing"
            http.cookies.clear()
            await desk.log_in(http, "leaving")
            with database(server, "fraud_owner") as connection:
                connection.execute("UPDATE fraud.users SET enabled = false WHERE user_name = 'leaving'")
            assert (await http.get("/api/v1/me")).status_code == 401

    desk.run(scenario())


def test_a_token_ends_and_never_exceeds_its_user(server: Settings) -> None:
    expired = add_token(server, Role.ADMIN, days=-1)
    more = add_token(server, Role.ADMIN, user="viewer-user")

    async def scenario() -> tuple[int, str]:
        async with desk.running(desk.with_dashboard(server, auth=True)) as app, desk.client(app) as http:
            gone = await http.get("/api/v1/me", headers={"authorization": f"Bearer {expired}"})
            me = await http.get("/api/v1/me", headers={"authorization": f"Bearer {more}"})
            return gone.status_code, me.json()["role"]

    assert desk.run(scenario()) == (401, "viewer")


def test_forged_requests_are_refused(server: Settings) -> None:
    alert_id = desk.add_alert(server)
    path = f"/api/v1/alerts/{alert_id}/notes"

    async def scenario() -> None:
        async with desk.running(desk.with_dashboard(server, auth=True)) as app, desk.client(app) as http:
            csrf = await desk.log_in(http, "analyst-user")

            async def post(**headers: str) -> int:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                return (await http.post(path, json={"text": "x"}, headers=named)).status_code

            assert await post() == 403
            assert await post(x_csrf_token="guess") == 403
            assert await post(x_csrf_token=csrf) == 201
            assert await post(x_csrf_token=csrf, origin="https://evil.example") == 403
            assert await post(x_csrf_token=csrf, sec_fetch_site="cross-site") == 403
            assert await post(x_csrf_token=csrf, origin="http://127.0.0.1", sec_fetch_site="same-origin") == 201
            login = await http.post("/login", data={"user": "a", "password": "b"}, headers={"origin": "https://evil"})
            assert login.status_code == 403

    desk.run(scenario())


def test_without_login_a_foreign_page_or_name_still_gets_nowhere(server: Settings) -> None:
    alert_id = desk.add_alert(server)
    path = f"/api/v1/alerts/{alert_id}/notes"

    async def scenario() -> None:
        async with desk.api(server) as http:
            assert (await http.get("/", headers={"host": "rebound.example"})).status_code == 400
            for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "same-origin"}):
                assert (await http.post(path, json={"text": "x"}, headers=headers)).status_code == 403
            assert (await http.post(path, json={"text": "a script on this machine"})).status_code == 201

    desk.run(scenario())


def test_a_client_that_asks_too_often_is_told_when_to_come_back(server: Settings) -> None:
    async def scenario() -> tuple[list[int], str, list[int]]:
        settings = desk.with_dashboard(server, requests_per_minute=20)
        async with desk.running(settings) as app, desk.client(app) as http:
            answers = [await http.get("/api/v1/me") for _ in range(8)]
            health = [(await http.get("/health")).status_code for _ in range(8)]
            return [a.status_code for a in answers], answers[-1].headers.get("retry-after", ""), health

    statuses, retry_after, health = desk.run(scenario())
    assert statuses == [200] * 5 + [429] * 3
    assert int(retry_after) >= 1
    assert health == [200] * 8


def test_passwords_cannot_be_tried_by_the_hundred(server: Settings) -> None:
    async def scenario() -> list[int]:
        async with desk.running(desk.with_dashboard(server, auth=True)) as app, desk.client(app) as http:
            form = {"user": "admin-user", "password": "guess guess guess"}
            return [(await http.post("/login", data=form)).status_code for _ in range(12)]

    assert set(desk.run(scenario())[10:]) == {429}


def test_every_answer_carries_the_security_headers(server: Settings) -> None:
    async def scenario() -> None:
        async with desk.api(server) as http:
            for path in ("/", "/api/v1/me", "/health", "/static/app.js", "/nothing", "/api/v1/alerts?limit=x"):
                headers = (await http.get(path)).headers
                assert "script-src 'self'" in headers["content-security-policy"], path
                assert headers["x-content-type-options"] == "nosniff"
                assert headers["x-frame-options"] == "DENY"
                assert headers["cache-control"] in ("no-store", "no-cache")

    desk.run(scenario())

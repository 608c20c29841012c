"""`medallion alerts` and `medallion users` as typed, on a real database."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from fraud_domain.settings import Settings
from medallion_assets_tests.integration import desk
from medallion_assets_tests.pipeline import database
from medallion_services.cli import app
from medallion_services.embedded.environment import settings_environment
from medallion_services.embedded.throwaway import own_database


@pytest.fixture(scope="module")
def server() -> Iterator[Settings]:
    with own_database() as settings:
        yield settings


def medallion(settings: Settings, *words: str, typed: str = "") -> Any:
    """The outcome of a command."""
    return CliRunner().invoke(app, list(words), input=typed, env=settings_environment(settings))


def test_an_alert_is_seen_taken_and_closed_in_the_terminal(server: Settings) -> None:
    alert_id = desk.add_alert(server, alert_id="fedcba9876543210")
    listed = medallion(server, "alerts", "tail", "--json")
    assert alert_id in {json.loads(line)["alert_id"] for line in listed.stdout.splitlines()}
    assert "PIX of 14,300.00 BRL" in medallion(server, "alerts", "show", "fedcba98").stdout
    assert "in_review" in medallion(server, "alerts", "ack", "fedcba98").stdout
    closed = medallion(server, "alerts", "close", alert_id, "--as", "confirmed_fraud", "-m", "cloned", "--json")
    assert json.loads(closed.stdout)["disposition"] == "confirmed_fraud"
    shown = json.loads(medallion(server, "alerts", "show", alert_id, "--json").stdout)
    assert [event["action"] for event in shown["trail"]] == ["closed", "moved"]
    assert shown["trail"][0]["note"] == "cloned"


def test_what_cannot_be_done_is_said_in_words(server: Settings) -> None:
    alert_id = desk.add_alert(server)
    desk.add_alert(server, alert_id="twins-1")
    desk.add_alert(server, alert_id="twins-2")
    for words, message in (
        (("close", alert_id, "--as", "maybe"), "'maybe' is no finding"),
        (("show", "nowhere"), "no alert is called 'nowhere'"),
        (("show", "twins-"), "more than one alert is called 'twins-'"),
    ):
        answer = medallion(server, "alerts", *words)
        assert answer.exit_code == 1
        assert message in answer.stderr
        assert "Traceback" not in answer.stderr


def test_people_are_added_given_tokens_and_locked_out(server: Settings) -> None:
    added = medallion(server, "users", "add", "carla", "--role", "viewer", typed="a long enough one\n")
    assert added.exit_code == 0, added.output
    assert "a long enough one" not in added.output
    assert "10 to 200" in medallion(server, "users", "add", "dan", typed="short\n").stderr
    assert "already" in medallion(server, "users", "add", "carla", typed="a long enough one\n").stderr
    assert "no role" in medallion(server, "users", "add", "eve", "--role", "god", typed="a long enough one\n").stderr
    token = medallion(server, "users", "token", "carla", "--role", "admin").stdout.strip()
    assert "carla: viewer, 1 tokens" in medallion(server, "users", "list").stdout

    async def me() -> tuple[int, str]:
        settings = desk.with_dashboard(server, auth=True)
        headers = {"authorization": f"Bearer {token}"}
        async with desk.running(settings) as application, desk.client(application, **headers) as http:
            answer = await http.get("/api/v1/me")
            return answer.status_code, answer.json().get("role", "")

    assert desk.run(me()) == (200, "viewer")
    assert medallion(server, "users", "passwd", "carla", typed="another long one\n").exit_code == 0
    assert medallion(server, "users", "disable", "carla").exit_code == 0
    assert desk.run(me())[0] == 401
    with database(server, "fraud_owner") as connection:
        rows = connection.execute("SELECT password_hash, token_hash FROM fraud.users, fraud.api_tokens").fetchall()
    assert rows
    assert all(token not in str(row) and "long one" not in str(row) for row in rows)

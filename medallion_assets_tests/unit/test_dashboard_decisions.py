"""The desk's pure parts: states, cursors, limits, texts, exports, what is shown of a message."""

import asyncio
import re
import string
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from fraud_domain.rules import load_catalogue
from fraud_domain.settings import RuleSettings, Settings
from medallion_services.dashboard import adopt, boards, checks, export, i18n, keyset, message, passwords, render, states
from medallion_services.dashboard.cache import Cache
from medallion_services.dashboard.live import KEPT, Event, Hub
from medallion_services.dashboard.login import local_path
from medallion_services.dashboard.problems import Problem
from medallion_services.dashboard.ratelimit import RateLimit
from medallion_services.dashboard.server import check
from medallion_services.dashboard.states import Disposition, State
from medallion_services.errors import UserError

DASHBOARD = Path(states.__file__).parent
TEXTS = i18n.load_texts()


def test_every_state_can_be_left_and_closed_only_reopens() -> None:
    assert all(states.allowed(state) for state in State)
    assert states.allowed(State.CLOSED) == (State.IN_REVIEW,)
    assert State.NEW not in {after for moves in states.TRANSITIONS.values() for after in moves}


def test_illegal_moves_are_refused_with_what_would_be_allowed() -> None:
    assert "to in_review, closed" in str(states.complaint(State.NEW, State.ESCALATED, None))
    assert states.complaint(State.NEW, State.CLOSED, None) == "closing needs a disposition"
    assert states.complaint(State.NEW, State.IN_REVIEW, Disposition.VERIFIED) == "only closing takes a disposition"
    assert states.complaint(State.IN_REVIEW, State.CLOSED, Disposition.VERIFIED) is None


def test_both_languages_have_the_same_keys_and_placeholders() -> None:
    english, portuguese = TEXTS["en"], TEXTS["pt"]
    assert set(english) == set(portuguese)
    for key, text in english.items():
        fields = {name for _, name, _, _ in string.Formatter().parse(text) if name}
        assert fields == {name for _, name, _, _ in string.Formatter().parse(portuguese[key]) if name}, key
        assert text.strip()
        assert portuguese[key].strip(), key


def test_every_text_that_a_template_or_script_names_exists() -> None:
    used: set[str] = set()
    for template in (DASHBOARD / "templates").glob("*.html"):
        used |= set(re.findall(r"\bt\('([a-z_.0-9]+)'(?! ~)", template.read_text(encoding="utf-8")))
    for script in (DASHBOARD / "static").glob("*.js"):
        used |= {f"js.{key}" for key in re.findall(r'\bt\("([a-z_.]+)"', script.read_text(encoding="utf-8"))}
    assert len(used) > 100
    assert used <= set(TEXTS["en"])


def test_every_state_disposition_and_link_has_a_name_in_both_languages() -> None:
    wanted = {f"state.{each}" for each in State} | {f"disposition.{each}" for each in Disposition}
    wanted |= {f"kind.{each}" for each in ("customer", "card", "merchant", "device", "terminal", "ip")}
    assert all(wanted <= set(texts) for texts in TEXTS.values())


@pytest.mark.parametrize(
    ("cookie", "accept", "language"),
    [
        (None, "", "en"),
        (None, "pt-BR,pt;q=0.9,en;q=0.8", "pt"),
        (None, "de,en;q=0.5,pt;q=0.7", "pt"),
        (None, "pt;q=0", "en"),
        ("en", "pt", "en"),
        ("xx", "pt", "pt"),
        (None, "pt;q=many", "en"),
    ],
)
def test_language_is_the_one_chosen_then_the_browsers(cookie: str | None, accept: str, language: str) -> None:
    assert i18n.choose(cookie, accept) == language


@pytest.mark.parametrize("value", [Decimal("12.3400"), datetime(2026, 11, 24, 12, tzinfo=UTC), 63.5])
def test_cursor_brings_back_what_went_in(value: Any) -> None:
    assert keyset.decode(keyset.encode(value, "a1"), type(value)) == (value, "a1")


@pytest.mark.parametrize("cursor", ["x", "!!!!", "W10", "WyJuYW4iLCJhIl0", "bnVsbA", "é"])
def test_strange_cursors_are_refused(cursor: str) -> None:
    with pytest.raises(Problem, match="cursor"):
        keyset.decode(cursor, float)


def test_rate_limit_allows_a_burst_and_then_the_rate() -> None:
    limit = RateLimit(per_minute=60, burst=2)
    assert [limit.wait("a", 0.0), limit.wait("a", 0.0)] == [0.0, 0.0]
    assert limit.wait("a", 0.0) == pytest.approx(1.0)
    assert limit.wait("b", 0.0) == 0.0, "another client has a bucket of its own"
    assert limit.wait("a", 1.1) == 0.0
    assert limit.wait("a", 1.1) > 0


def test_password_matches_only_itself_and_is_never_stored_plain() -> None:
    stored = passwords.hash_password("correct horse")
    assert "correct" not in stored
    assert passwords.password_matches("correct horse", stored)
    assert not passwords.password_matches("correct horsf", stored)
    assert not passwords.password_matches("x" * 10_000, stored)
    assert not passwords.password_matches("anything", passwords.UNKNOWN_USER)
    with pytest.raises(ValueError, match="10 to 200"):
        passwords.hash_password("short")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", " =1", "|cmd", "%x", "\n=1"])
def test_a_cell_that_a_spreadsheet_would_run_is_defused(text: str) -> None:
    assert export.cell(text).startswith("'")


def test_every_shipped_typology_has_a_title_in_both_languages() -> None:
    typologies = {typology.id for typology in load_catalogue(RuleSettings().directory).typologies}
    for texts in TEXTS.values():
        for prefix in ("typology.", "js.typology."):
            assert typologies <= {key.removeprefix(prefix) for key in texts if key.startswith(prefix)}


def test_numbers_and_plain_texts_are_exported_as_they_are() -> None:
    assert export.cell(Decimal("-12.50")) == "-12.50"
    assert export.cell("Padaria do Zé") == "Padaria do Zé"
    assert export.cell(None) == ""


def test_card_numbers_in_a_message_are_masked_before_people_see_it() -> None:
    found = message.parse(b'{"note": "card 4111111111111111 please", "amount": "12.00"}')
    assert "4111111111111111" not in found.text
    assert found.document["note"] == "card ************1111 please"
    assert message.parse(b"\xff{").document == {}
    assert message.parse(None).text == ""


def test_context_keeps_what_the_desk_needs_and_survives_nonsense() -> None:
    document = {"device_id": "d1", "latitude": "x", "longitude": 1.5, "billing_state": "SP", "ip_address": ""}
    row = adopt.context("a1", message.Message("", document))
    assert (row["device_id"], row["latitude"], row["longitude"], row["state"]) == ("d1", None, 1.5, "SP")
    assert row["ip_address"] is None
    assert adopt.context("a1", None) == {"alert_id": "a1", "found": False}


def test_place_says_where_it_was_spent_seen_from_home() -> None:
    here = {"latitude": -23.5, "longitude": -46.6, "billing_latitude": -23.4, "billing_longitude": -46.5}
    assert adopt.place(here | {"merchant_country": "BR", "home_country": "BR"}) == "near home"
    assert adopt.place(here | {"latitude": -8.0, "merchant_country": "BR", "home_country": "BR"}) == "far"
    assert adopt.place(here | {"merchant_country": "PT", "home_country": "BR"}) == "PT"
    assert adopt.place({"merchant_country": "BR"}) == "remote"


def test_a_rule_sleeps_after_a_week_without_a_hit() -> None:
    today = date(2026, 11, 24)
    assert boards.dormant("active", None, today)
    assert boards.dormant("shadow", today - timedelta(days=7), today)
    assert not boards.dormant("active", today - timedelta(days=6), today)
    assert not boards.dormant("off", None, today)


def test_reconciliation_leaves_what_is_neither_kept_nor_refused() -> None:
    rows: dict[str, int | None] = {"bronze.transactions": 100, "bronze.labels": 10, "silver.transactions": 90}
    sums = boards.reconcile(rows | {"silver.labels": 9, "silver.quarantine": 4, "gold.fraud_alerts": 3})
    assert sums == {"bronze": 110, "silver": 99, "quarantine": 4, "left": 7}


def test_data_in_a_page_cannot_end_its_script_element() -> None:
    text = render.as_json({"name": "</script><script>alert(1)</script>"})
    assert "<" not in text
    assert orjson.loads(str(text))["name"].startswith("</script>")


def test_numbers_are_written_as_the_language_does() -> None:
    assert render.money("12500", "en") == "12,500.00"
    assert render.money("12500", "pt") == "12.500,00"
    assert render.percent(0.1234, "pt") == "12,3 %"
    assert render.percent(None) == render.DASH
    assert (render.span(59), render.span(3600), render.size(2048)) == ("59 s", "1 h", "2.0 KiB")


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "", "/a\n"]
)
def test_login_leads_nowhere_but_home(target: str) -> None:
    assert local_path(target) == "/"
    assert local_path("/queue?view=mine") == "/queue?view=mine"


def test_without_login_the_dashboard_stays_on_this_machine() -> None:
    check(Settings.model_validate({"dashboard": {"host": "127.0.0.1"}}))
    check(Settings.model_validate({"dashboard": {"host": "192.0.2.1", "auth": True}}))
    with pytest.raises(UserError, match="MEDALLION_DASHBOARD__AUTH=true"):
        check(Settings.model_validate({"dashboard": {"host": "192.0.2.1"}}))


def test_a_client_that_comes_back_gets_what_it_missed_or_is_told_to_load_anew() -> None:
    hub = Hub("boot")
    for number in range(3):
        hub.publish("alerts", str(number))
    assert [event.data for event in hub.missed("boot-1")] == ["1", "2"]
    assert hub.missed("boot-3") == []
    assert hub.missed("") == []
    for strange in ("other-1", "boot-99", "boot-x", "nonsense"):
        assert [event.name for event in hub.missed(strange)] == ["reset"]
    for number in range(KEPT):
        hub.publish("alerts", str(number))
    assert [event.name for event in hub.missed("boot-1")] == ["reset"], "it is not kept any more"


def test_a_subscriber_that_does_not_read_costs_no_memory_and_is_reset() -> None:
    async def scenario() -> list[Event]:
        hub = Hub("boot")
        events = hub.subscribe()
        first = await anext(events)
        for number in range(500):
            hub.publish("alerts", str(number))
        return [first, *[await anext(events) for _ in range(60)]]

    names = {event.name for event in asyncio.run(scenario())}
    assert names >= {"hello", "reset"}


def test_cache_answers_at_once_renews_behind_and_asks_once() -> None:
    now, made = [0.0], []

    async def make() -> int:
        made.append(1)
        await asyncio.sleep(0)
        return len(made)

    async def scenario() -> list[int]:
        cache = Cache(lambda: now[0])
        both = await asyncio.gather(cache.get("k", 5, make), cache.get("k", 5, make))
        now[0] = 6
        stale = await cache.get("k", 5, make, stale=60)
        await asyncio.sleep(0.01)
        renewed = await cache.get("k", 5, make)
        now[0] = 1000
        return [*both, stale, renewed, await cache.get("k", 5, make, stale=60)]

    assert asyncio.run(scenario()) == [1, 1, 1, 2, 3]


def test_a_failed_answer_is_not_kept() -> None:
    async def scenario() -> str:
        cache = Cache()

        async def fail() -> str:
            raise ValueError("broken")

        async def work() -> str:
            return "well"

        with pytest.raises(ValueError, match="broken"):
            await cache.get("k", 5, fail)
        return str(await cache.get("k", 5, work))

    assert asyncio.run(scenario()) == "well"


def test_checks_are_asked_in_a_language_that_dagster_understands() -> None:
    from dagster_graphql.schema import create_schema
    from graphql import parse, validate

    assert validate(create_schema().graphql_schema, parse(checks.QUERY)) == []


def test_checks_are_counted_by_how_they_ended() -> None:
    def check(name: str, status: str | None) -> dict[str, Any]:
        last = {"status": status, "timestamp": 1_795_000_000.0} if status else None
        return {"name": name, "executionForLatestMaterialization": last}

    node = {
        "assetKey": {"path": ["silver", "transactions"]},
        "assetChecksOrError": {"checks": [check("a", "SUCCEEDED"), check("b", "FAILED"), check("c", None)]},
    }
    none = {"assetKey": {"path": ["kafka", "transactions"]}, "assetChecksOrError": {}}
    found = checks.summarise({"data": {"assetNodes": [node, none]}})
    assert (found["passed"], found["never"]) == (1, 1)
    assert [(row["table"], row["check"]) for row in found["failed"]] == [("silver.transactions", "b")]

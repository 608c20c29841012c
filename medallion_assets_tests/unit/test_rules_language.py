"""What the rule language refuses, and that it says where."""

import re
from decimal import Decimal
from typing import Any

import pytest

from fraud_domain.rules import Catalogue, Engine, RuleError, Subject, check_fixtures, load_texts
from fraud_domain.rules.durations import format_duration, parse_duration
from fraud_domain.rules.text import render
from fraud_domain.settings import RuleSettings

FILE = """\
typology:
  id: lab
  title: Lab
  combine: noisy_or
  owner: team:fraud
  description: For tests
rules:
  - id: LAB-1
    version: 1
    title: Many payments
    status: active
    key: customer
    window: 10m
    applies: amount > 0
    features:
      payments: {aggregate: count, include_current: true}
    parameters: {limit: 2}
    condition: payments > limit
    observed: payments
    threshold: limit
    weight: 40
    reason: "{payments:ordinal} payment, limit {limit}"
    owner: team:fraud
    fixtures:
      positive: [{name: three, history: [{ago: 5m, repeat: 2}], event: {}}]
      near_miss: [{name: two, history: [{ago: 5m}], event: {}}]
"""


def load(old: str = "", new: str = "", text: str = FILE) -> Catalogue:
    assert old in text
    return load_texts({"rules/lab.yaml": text.replace(old, new, 1) if old else text})


def problems(old: str, new: str) -> list[str]:
    with pytest.raises(RuleError) as caught:
        load(old, new)
    return [str(problem) for problem in caught.value.problems]


def test_the_example_is_sound() -> None:
    assert check_fixtures(load()) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("    window: 10m", "    windw: 10m", 13, "unknown key"),
        ("aggregate: count,", "agregate: count,", 16, "unknown key"),
        ("status: active", "status: on", 11, "'active', 'shadow' or 'off'"),
        ("window: 10m", "window: 10 minutes", 13, "String should match pattern"),
        ("weight: 40", "weight: 101", 21, "less than or equal to 100"),
        ("  id: lab", "  id: lab\n  id: lab", 3, "key 'id' occurs twice"),
        ("key: customer", "key: shop", 12, "Input should be 'customer'"),
        ("{aggregate: count, include", "{aggregate: share, include", 16, "'share' needs 'when'"),
        ("{aggregate: count, include", "{aggregate: count, when: amount > 1, include", 16, "'share' needs 'when'"),
        ("{aggregate: count, include", "{aggregate: count, of: label, include", 16, "Input should be 'transactions'"),
        ("{aggregate: count, include", "{aggregate: count, of: labels, include", 16, "no current event"),
        ("count, include_current: true", "count, of: labels, where: amount > 1", 16, "unknown name 'amount'"),
        ("count, include_current: true", "last, field: mcc, of: account_events", 16, "unknown field 'mcc'"),
        ("payments > limit", "paymnts > limit", 18, "unknown name 'paymnts', did you mean 'payments'?"),
        ("payments > limit", "payments >", 18, "not an expression"),
        ("payments > limit", "payments.count > limit", 18, "not part of the rule language"),
        ("payments > limit", "__import__('os')", 18, "unknown function '__import__'"),
        ("payments > limit", "(p for p in limit)", 18, "not part of the rule language"),
        ("payments > limit", "payments ** limit > 1", 18, "Pow is not part of the rule language"),
        ("payments > limit", "payments", 18, "is a number, a yes/no value is needed"),
        ("payments > limit", "payments > limit and channel > 'POS'", 18, "a text has no order"),
        ("payments > limit", "payments > limit and mcc == 5411", 18, "cannot compare a text with a number"),
        ("payments > limit", "payments > limit and channel == 'TILL'", 18, "'TILL' never occurs there; one of POS"),
        ("payments > limit", "payments > limit and amount == None", 18, "compare with None by 'is None'"),
        ("payments > limit", "payments > limit and latitude > 1", 18, "cannot compare a coordinate with a number"),
        ("payments > limit", "payments > limit and event_time > window", 18, "unknown name 'window'"),
        ("applies: amount > 0", "applies: payments > 0", 14, "unknown name 'payments'"),
        ("applies: amount > 0", "applies: current.amount > 0", 14, "'current.' is for the 'where'"),
        ("{aggregate: count, include", "{aggregate: sum, include", 16, "'sum' needs a field"),
        ("{aggregate: count, include", "{aggregate: sum, field: mcc, include", 16, "cannot be taken of mcc, a text"),
        ("{aggregate: count, include", "{aggregate: sum, field: amunt, include", 16, "unknown field 'amunt'"),
        ("{aggregate: count, include", "{aggregate: time_since, include", 16, "include_current makes no sense"),
        ("count, include", "count, where: current.nothing == mcc, include", 16, "unknown field 'nothing'"),
        ("{limit: 2}", "{limit: 2, other: 3}", 17, "'other' is never used"),
        ("{limit: 2}", "{limit: 2, amount: 3}", 17, "'amount' is a field of the transaction"),
        ("{limit: 2}", "{limit: [1, a]}", 17, "a list must hold texts only or numbers only"),
        ("observed: payments", "observed: event_time", 19, "is a time and cannot be reported"),
        (":ordinal}", ":ordinl}", 22, "unknown format 'ordinl'"),
        ("{payments:ordinal}", "{channel:ordinal}", 22, "is a text and cannot be written as ordinal"),
        ("{payments:ordinal}", "{payments", 22, "stray brace"),
        ("history: [{ago: 5m}], event: {}", "event: {amout: 3}", 26, "'amout' is not a field of a transaction"),
        ("history: [{ago: 5m}], event: {}", "event: {channel: TILL}", 26, "channel: Input should be"),
        ("history: [{ago: 5m}], event: {}", "profile: cash, event: {}", 26, "unknown profile 'cash'"),
        ("near_miss: [{name: two, history: [{ago: 5m}], event: {}}]", "near_miss: []", 26, "at least 1 item"),
        ("  description: For tests", "  description: d\n  includes: [GEO-1]", 7, "GEO-1 is defined nowhere"),
        ("  description: For tests", "  description: d\n  includes: [LAB-1]", 7, "in this typology already"),
    ],
)
def test_a_mistake_is_reported_with_file_and_line(old: str, new: str, line: int, message: str) -> None:
    found = problems(old, new)
    assert [each for each in found if each.startswith(f"rules/lab.yaml:{line}: ") and message in each] != []


def test_all_mistakes_are_reported_at_once() -> None:
    broken = FILE.replace("payments > limit", "paymnts > limit").replace("amount > 0", "amunt > 0")
    with pytest.raises(RuleError) as caught:
        load_texts({"rules/lab.yaml": broken, "rules/other.yaml": "typology: [\n"})
    assert [re.sub(r": .*", "", str(p)) for p in caught.value.problems] == [
        "rules/lab.yaml:14", "rules/lab.yaml:18", "rules/other.yaml:2",
    ]  # fmt: skip


def test_an_id_defined_twice_names_both_places() -> None:
    with pytest.raises(RuleError) as caught:
        load_texts({"rules/a.yaml": FILE, "rules/b.yaml": FILE.replace("id: lab", "id: lab2")})
    assert str(caught.value) == "rules/b.yaml:8: rule LAB-1 is already defined at rules/a.yaml:8"


def test_subjects_are_those_that_rules_ask_for_and_customers() -> None:
    assert load().subjects == (Subject.CUSTOMER,)
    assert load("key: customer", "key: card").subjects == (Subject.CUSTOMER,)
    assert load("key: customer", "key: device").subjects == (Subject.CUSTOMER, Subject.DEVICE)
    off = FILE.replace("key: customer", "key: device").replace("status: active", "status: off")
    assert load(text=off).subjects == (Subject.CUSTOMER,)


def test_shadow_rules_are_reported_but_neither_score_nor_alert() -> None:
    engine = Engine(load("status: active", "status: shadow"), RuleSettings())
    history = engine.new_history()
    decisions = [engine.decide(history, _event(number)) for number in range(3)]
    last = decisions[-1]
    assert last is not None
    assert (last.score, last.level, last.alert, last.reasons) == (0.0, "none", False, ())
    assert [reason.text for reason in last.shadow] == ["3rd payment, limit 2"]


def test_off_rules_are_not_evaluated_but_their_fixtures_are_checked() -> None:
    text = FILE.replace("status: active", "status: off")
    assert not load(text=text).rules[0].evaluated
    failures = check_fixtures(load("{limit: 2}", "{limit: 9}", text))
    assert [str(failure) for failure in failures] == [
        "rules/lab.yaml:25: LAB-1 positive 'three': expected a hit, it does not hit"
    ]


def test_decisions_become_json_types() -> None:
    engine = Engine(load("observed: payments", "observed: amount"), RuleSettings())
    history = engine.new_history()
    decision = [engine.decide(history, _event(number)) for number in range(3)][-1]
    assert decision is not None
    assert decision.as_json()["reasons"] == [
        {
            "rule_id": "LAB-1", "rule_version": engine.catalogue.rules[0].version_hash, "title": "Many payments",
            "text": "3rd payment, limit 2", "observed": "10.50", "threshold": 2, "window": "10 min", "weight": 40,
            "contribution": 40.0, "history": 2,
        }
    ]  # fmt: skip


def _event(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "transaction_id": f"t-{number}", "customer_id": "c-1", "event_time": 1_767_225_600_000_000 + number,
        "amount": Decimal("10.5"), "currency": "BRL", "type": "PIX", "channel": "MOBILE_APP", "status": "APPROVED",
    } | fields  # fmt: skip


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [(0, "0 s"), (59_999_999, "59 s"), (60_000_000, "1 min"), (7_500_000_000, "2 h 5 min"), (86_400_000_000, "24 h")],
)
def test_durations_are_said_as_people_say_them(microseconds: int, text: str) -> None:
    assert format_duration(microseconds) == text


def test_durations_are_parsed_exactly() -> None:
    assert parse_duration("250ms") == 250_000
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration("0m")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("ordinal", 1, "1st"), ("ordinal", 12, "12th"), ("ordinal", 22, "22nd"), ("number", 100, "100"),
        ("percent", Decimal("0.025"), "2 %"), ("number", Decimal("2.50"), "2.5"),
        ("money", Decimal("-1234.505"), "-1,234.50"),
        ("km", 1240, "1,240 km"), ("hour", 3, "03:00"), ("plain", ("b", "a"), "a, b"), ("money", None, "unknown"),
    ],
)  # fmt: skip
def test_values_are_written_for_people(name: str, value: object, text: str) -> None:
    assert render(name, value) == text

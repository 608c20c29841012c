"""The shipped catalogue: its fixtures hold, they would notice a moved threshold, its schema is in step."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from fraud_domain.rules import (
    Catalogue,
    Engine,
    Rule,
    Strength,
    Typology,
    check_fixtures,
    lists,
    load_catalogue,
    load_texts,
    schema,
)
from fraud_domain.rules.fixtures import build_events
from fraud_domain.rules.model import Parameter
from fraud_domain.rules.vocabulary import Kind
from fraud_domain.settings import RuleSettings

DIRECTORY = RuleSettings().directory
SHIPPED = load_catalogue(DIRECTORY)


def _with_parameter(rule_id: str, name: str, value: object) -> Catalogue:
    rule = SHIPPED.rule(rule_id)
    parameters = {**rule.parameters, name: Parameter(rule.parameters[name].kind, value)}
    changed = replace(rule, parameters=parameters)
    return Catalogue(tuple(changed if r.id == rule_id else r for r in SHIPPED.rules), SHIPPED.typologies)


def test_every_fixture_holds() -> None:
    assert [str(failure) for failure in check_fixtures(SHIPPED)] == []


@pytest.mark.parametrize(
    ("rule_id", "parameter", "value"),
    [("VEL-1", "limit", 4), ("VEL-1", "limit", 2), ("GEO-1", "speed_limit", 100_000), ("DOR-1", "longest", 1)],
)
def test_a_moved_threshold_fails_a_fixture(rule_id: str, parameter: str, value: int) -> None:
    assert {failure.rule_id for failure in check_fixtures(_with_parameter(rule_id, parameter, value))} == {rule_id}


@pytest.mark.parametrize("rule", SHIPPED.rules, ids=lambda rule: rule.id)
def test_fixtures_of_each_rule_notice_that_it_never_or_always_hits(rule: Rule) -> None:
    for condition in ("1 == 2", "1 == 1"):
        expression = load_texts({"x.yaml": _MINIMAL % condition}).rules[0].condition
        changed = replace(rule, condition=expression)
        catalogue = Catalogue((changed,), SHIPPED.typologies)
        assert rule.id in {failure.rule_id for failure in check_fixtures(catalogue)}


_MINIMAL = """
typology: {id: minimal, title: M, combine: noisy_or, owner: t, description: d}
rules:
  - {id: MIN-1, version: 1, title: M, status: active, key: customer, window: 1h, condition: "%s", observed: amount,
     threshold: 1, weight: 1, reason: r, owner: t,
     fixtures: {positive: [{name: p, event: {}}], near_miss: [{name: n, event: {}}]}}
"""


def test_schema_for_editors_is_in_step() -> None:
    for name, text in (("rules", schema.schema_text()), ("lists", lists.schema_text())):
        written = (DIRECTORY / f"{name}.schema.json").read_text(encoding="utf-8")
        assert written == text, "run: python -m fraud_domain.rules"


def test_there_are_enough_rules_and_typologies() -> None:
    assert len([rule for rule in SHIPPED.rules if rule.status == "active"]) >= 25
    assert len(SHIPPED.typologies) >= 9
    assert {rule.owner for rule in SHIPPED.rules} == {"team:fraud"}


@pytest.mark.parametrize("typology", SHIPPED.typologies, ids=lambda typology: typology.id)
def test_every_typology_can_reach_review(typology: Typology) -> None:
    rules = [SHIPPED.rule(rule_id) for rule_id in typology.rule_ids]
    missing = 1.0
    for rule in rules:
        missing *= 1 - rule.weight / 100
    assert any(rule.strength is Strength.STRONG for rule in rules)
    assert 100 * (1 - missing) >= RuleSettings().medium_at


@pytest.mark.parametrize("rule_id", ["GEO-1", "TST-1", "DUP-1", "STR-1", "DOR-1", "ATO-2"])
def test_a_strong_rule_reaches_review_by_itself(rule_id: str) -> None:
    engine = Engine(SHIPPED, RuleSettings())
    history = engine.new_history()
    decisions = [engine.decide(history, event) for event in build_events(SHIPPED.rule(rule_id).positive[0])]
    last = decisions[-1]
    assert last is not None
    assert last.alert
    assert last.score >= RuleSettings().medium_at


def test_reasons_read_like_an_analyst_would_say_them() -> None:
    def text(rule_id: str, fixture: int = 0) -> str:
        engine = Engine(SHIPPED, RuleSettings())
        history = engine.new_history()
        decision = None
        for event in build_events(SHIPPED.rule(rule_id).positive[fixture]):
            decision = engine.decide(history, event)
        assert decision is not None
        return next(reason.text for reason in decision.reasons if reason.rule_id == rule_id)

    assert text("AMT-1") == "Spent 690.00 BRL, 6.3x this customer's 30-day mean 110.00 (n=20)"
    assert text("VEL-1").startswith("4th purchase on this card in 9 min, limit 3")
    assert text("GEO-1") == "Card used in person 2,689 km away 30 min earlier: 5,379 km/h, limit 900 km/h"
    assert text("DUP-1") == "Same 84.90 BRL at merchant merchant-1 2 min earlier, limit 10 min"


def test_version_is_the_content_not_the_owner_or_the_fixtures() -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.yaml")}

    def version(old: str, new: str) -> str:
        changed = {name: text.replace(old, new) for name, text in files.items()}
        assert changed != files
        return load_texts(changed).version

    assert version("owner: team:fraud", "owner: team:risk") == SHIPPED.version
    assert version("fourth purchase in nine minutes", "four in nine") == SHIPPED.version
    assert version("{limit: 3, daily_limit: 15", "{limit: 4, daily_limit: 15") != SHIPPED.version
    assert version("includes: [DEV-1, NGT-1, AMT-2]", "includes: [DEV-1, NGT-1]") != SHIPPED.version


def test_a_catalogue_travels_to_workers() -> None:
    copy = pickle.loads(pickle.dumps(SHIPPED))  # noqa: S301 - our own bytes, as Spark ships them
    assert copy.version == SHIPPED.version
    assert check_fixtures(copy) == []


def test_durations_and_tables_are_parameters() -> None:
    assert SHIPPED.rule("DOR-1").parameters["longest"] == Parameter(Kind.DURATION, 90 * 86_400_000_000)
    assert SHIPPED.rule("AMT-2").parameters["by_type"].kind is Kind.TABLE


def test_directory_without_rules_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no rule files"):
        load_catalogue(tmp_path)

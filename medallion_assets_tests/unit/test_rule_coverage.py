"""What the coverage checks say of rules that are broken, dormant, loud, silent or superfluous."""

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from fraud_domain.rules import Catalogue, Status, check_fixtures, load_catalogue
from fraud_domain.rules.model import Parameter
from fraud_domain.settings import RuleSettings, Settings
from medallion_assets.defs.quality.lake_sql import lake_sql
from medallion_assets.defs.quality.rule_activity import Activity, activities
from medallion_assets.defs.quality.rule_coverage import coverage, in_band, reachable
from medallion_assets.platform import Platform
from medallion_assets_tests.lake_rows import NOW, write

CATALOGUE = load_catalogue(RuleSettings().directory)
VEL_1 = CATALOGUE.rule("VEL-1")
TODAY = NOW.date()


def test_fixtures_that_do_not_hold_are_an_error() -> None:
    moved = replace(VEL_1, parameters={**VEL_1.parameters, "limit": Parameter(VEL_1.parameters["limit"].kind, 99)})
    broken = replace(CATALOGUE, rules=tuple(moved if r.id == "VEL-1" else r for r in CATALOGUE.rules))
    failures = check_fixtures(broken)
    finding = coverage(moved, failures, Activity(judged=100, hits=1))
    assert not finding.passed
    assert not finding.warn_only
    assert "fixtures do not hold" in finding.text
    assert all(coverage(r, failures, Activity()).passed for r in broken.rules if r.id != "VEL-1")


@pytest.mark.parametrize(
    ("seen", "doubt"),
    [
        (Activity(judged=5_000, hits=40, alerts=30), ""),
        (Activity(), ""),
        (Activity(judged=5_000), "dormant"),
        (Activity(judged=5_000, hits=2_500), "it hit 50.000% of 5000 transactions, expected"),
        (Activity(judged=5_000, hits=40, abstained=4_000), "it abstained on 80%"),
        (Activity(judged=5_000, hits=40, always_with=("VEL-2",)), "are hits of VEL-2 as well"),
        (Activity(judged=5_000, hits=4, always_with=("VEL-2",)), ""),
    ],
)
def test_a_doubt_is_a_warning_that_says_why(seen: Activity, doubt: str) -> None:
    finding = coverage(VEL_1, [], seen)
    assert finding.passed == (doubt == "")
    assert finding.warn_only == (doubt != "")
    assert doubt in finding.text


def test_a_rule_that_is_off_may_be_silent() -> None:
    assert coverage(replace(VEL_1, status=Status.OFF), [], Activity(judged=5_000)).passed


def test_chance_does_not_break_a_band() -> None:
    assert in_band(Activity(judged=50, hits=2), (0, 0.01))
    assert not in_band(Activity(judged=5_000, hits=200), (0, 0.01))
    assert not in_band(Activity(judged=5_000, hits=10), (0.01, 0.05))


def test_a_typology_counts_only_active_rules_of_one_subject() -> None:
    settings = RuleSettings()
    assert all(reachable(typology, CATALOGUE, settings).passed for typology in CATALOGUE.typologies)
    (testing,) = [t for t in CATALOGUE.typologies if t.id == "card_testing"]
    quiet = Catalogue(tuple(replace(rule, status=Status.SHADOW) for rule in CATALOGUE.rules), CATALOGUE.typologies)
    finding = reachable(testing, quiet, settings)
    assert not finding.passed
    assert "score 0.0" in finding.text
    halves = {"TST-2": 30, "VEL-4": 30}
    split = Catalogue(
        tuple(
            replace(rule, weight=halves[rule.id]) if rule.id in halves else replace(rule, status=Status.OFF)
            for rule in CATALOGUE.rules
        ),
        CATALOGUE.typologies,
    )
    assert not reachable(testing, split, settings).passed, "a merchant's 30 and a device's 30 never meet"


def decision(number: int, *rules: str, alert: bool = False, day: date = TODAY, shadow: str = "") -> dict[str, object]:
    """A row of the decision log."""
    return {
        "transaction_id": f"t{number}",
        "subject_kind": "customer",
        "reasons": json.dumps([{"rule_id": rule} for rule in rules]),
        "shadow": json.dumps([{"rule_id": shadow}] if shadow else []),
        "abstained": ["AMT-1"] if number % 2 else [],
        "alert": alert,
        "event_date": day,
    }


def test_activity_is_counted_from_the_decision_log(tmp_path: Path) -> None:
    platform = Platform(Settings(data_dir=tmp_path))
    write(
        platform,
        "gold.fraud_decisions",
        decision(1),
        decision(2, "VEL-1", "VEL-2", alert=True),
        decision(3, "VEL-2", day=TODAY - timedelta(days=2)),
        decision(4, shadow="TRM-2"),
        decision(5, "VEL-1", day=TODAY - timedelta(days=30)),
    )
    with lake_sql(platform) as lake:
        seen = activities(lake, CATALOGUE.rules, TODAY)
    assert seen["VEL-1"] == Activity(4, 1, 1, 0, TODAY, ("VEL-2",))
    assert seen["VEL-2"] == Activity(4, 2, 1, 0, TODAY, ())
    assert seen["TRM-2"] == Activity(4, 1, 0, 0, TODAY, ())
    assert seen["AMT-1"] == Activity(4, 0, 0, 2, None, ())

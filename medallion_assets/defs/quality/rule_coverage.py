"""Coverage of the rules: one check per rule, one per typology, and the analysts' budget."""

import math
from datetime import timedelta

import psycopg
from psycopg.rows import DictRow

from fraud_domain.rules import Catalogue, FixtureFailure, Rule, Status, Strength, Typology
from fraud_domain.settings import RuleSettings
from medallion_assets.defs.quality.finding import Finding
from medallion_assets.defs.quality.rule_activity import LOOK_BACK, SUBSET_NEEDS_HITS, Activity

BUDGET_CHECK = "alerts_within_budget"
_DEVIATIONS = 3
"""A rate outside its band counts only when chance does not explain it: three standard deviations."""
_BUDGET_SLACK = 1.2
_ABSTAINS_TOO_OFTEN = 0.5
_ENOUGH_JUDGED = 1_000


def check_name(rule_id: str) -> str:
    """`VEL-1` -> `rule_vel_1_coverage`: check names are plain words."""
    return f"rule_{rule_id.lower().replace('-', '_')}_coverage"


def typology_check_name(typology_id: str) -> str:
    """`pix_scam` -> `typology_pix_scam_reachable`."""
    return f"typology_{typology_id}_reachable"


def coverage(rule: Rule, failures: list[FixtureFailure], seen: Activity) -> Finding:
    """Judge one rule.

    A fixture that does not hold is an error: the rule does not do what its author said. All else is a warning,
    and only once the platform has decided anything at all: it has not fired, fires outside its band, abstains on
    most transactions, or never fires without another rule.
    """
    own = [failure for failure in failures if failure.rule_id == rule.id]
    figures = {
        "status": rule.status.value,
        "version": rule.version_hash,
        "judged": seen.judged,
        "hits": seen.hits,
        "alerts": seen.alerts,
        "abstained": seen.abstained,
        "rate": seen.rate,
        "band": str(list(rule.rate_band)) if rule.rate_band else "none",
        "last hit": str(seen.last_hit or "never"),
    }
    if own:
        return Finding(False, f"{len(own)} fixtures do not hold: " + "; ".join(str(f) for f in own), figures)
    doubts = [] if rule.status is Status.OFF or not seen.judged else _doubts(rule, seen)
    if doubts:
        return Finding(False, "fixtures hold, but " + "; ".join(doubts), figures, warn_only=True)
    return Finding(
        True, f"fixtures hold; fired {seen.hits} times in {LOOK_BACK.days} days, {seen.alerts} alerts", figures
    )


def _doubts(rule: Rule, seen: Activity) -> list[str]:
    if not seen.hits:
        return [f"it has not fired within {LOOK_BACK.days} days: dormant, or its data is missing"]
    doubts = []
    if rule.rate_band and not in_band(seen, rule.rate_band):
        low, high = rule.rate_band
        doubts.append(f"it hit {seen.rate:.3%} of {seen.judged} transactions, expected {low:.3%} to {high:.3%}")
    if seen.judged >= _ENOUGH_JUDGED and seen.abstained > _ABSTAINS_TOO_OFTEN * seen.judged:
        doubts.append(f"it abstained on {seen.abstained / seen.judged:.0%}: customers have too little history for it")
    if seen.hits >= SUBSET_NEEDS_HITS and seen.always_with and rule.strength is Strength.STRONG:
        doubts.append(f"all its {seen.hits} hits are hits of {', '.join(seen.always_with)} as well: it adds nothing")
    return doubts


def in_band(seen: Activity, band: tuple[float, float]) -> bool:
    """Whether the rate is within the band, give or take three standard deviations of a count that small."""
    slack = _DEVIATIONS * math.sqrt(max(seen.rate * (1 - seen.rate), 1 / seen.judged) / seen.judged)
    return band[0] - slack <= seen.rate <= band[1] + slack


def reachable(typology: Typology, catalogue: Catalogue, settings: RuleSettings) -> Finding:
    """Whether a typology's active rules about one kind of subject can reach an alert together."""
    active = [catalogue.rule(rule_id) for rule_id in typology.rule_ids]
    active = [rule for rule in active if rule.status is Status.ACTIVE]
    best = 0.0
    for subject in {rule.key.subject for rule in active if rule.strength is Strength.STRONG}:
        missing = math.prod(1 - rule.weight / 100 for rule in active if rule.key.subject is subject)
        best = max(best, 100 * (1 - missing))
    text = f"all its active rules together score {best:.1f}, an alert needs {settings.medium_at:g}"
    return Finding(best >= settings.medium_at, text, {"best score": best, "active rules": len(active)})


def within_budget(database: psycopg.Connection[DictRow], settings: RuleSettings) -> Finding:
    """Whether analysts get as many alerts a day as they asked for."""
    row = database.execute(
        "SELECT count(*) AS alerts, extract(epoch FROM clock_timestamp() - min(detected_at)) / 86400 AS days"
        " FROM fraud.alerts WHERE detected_at > clock_timestamp() - %s",
        (timedelta(days=1),),
    ).fetchone()
    alerts, days = (row["alerts"], float(row["days"] or 0)) if row else (0, 0.0)
    budget = settings.alert_budget_per_day
    figures = {"alerts of the last 24 h": alerts, "budget": budget or "none"}
    if budget is None:
        return Finding(True, f"{alerts} alerts in the last 24 h; no budget is set", figures)
    allowed = budget * max(days, 1 / 24) * _BUDGET_SLACK
    text = f"{alerts} alerts in the last {days * 24:.1f} h, budget {budget} a day"
    return Finding(alerts <= allowed, text, figures, warn_only=True)

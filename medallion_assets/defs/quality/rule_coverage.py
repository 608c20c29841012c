"""One coverage check per rule: its fixtures hold, and it fired lately or is known to be quiet."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import psycopg
from psycopg.rows import DictRow

from fraud_domain.rules import FixtureFailure, Rule
from medallion_assets.defs.quality.finding import Finding

DORMANT_AFTER = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Activity:
    """What a rule did within `DORMANT_AFTER`."""

    hits: int = 0
    alerts: int = 0
    shadow_hits: int = 0
    last_hit: date | None = None


def check_name(rule_id: str) -> str:
    """`VEL-1` -> `rule_vel_1_coverage`: check names are plain words."""
    return f"rule_{rule_id.lower().replace('-', '_')}_coverage"


def activity(database: psycopg.Connection[DictRow], today: date) -> dict[str, Activity]:
    """Activity per rule id, over all its versions."""
    found: list[dict[str, Any]] = database.execute(
        "SELECT rule_id, sum(hits)::bigint AS hits, sum(alerts)::bigint AS alerts,"
        " sum(shadow_hits)::bigint AS shadow_hits, max(event_date) AS last_hit"
        " FROM mart.rule_metrics_daily WHERE event_date > %s GROUP BY rule_id",
        (today - DORMANT_AFTER,),
    ).fetchall()
    return {r["rule_id"]: Activity(r["hits"], r["alerts"], r["shadow_hits"], r["last_hit"]) for r in found}


def coverage(rule: Rule, failures: list[FixtureFailure], seen: Activity, platform_in_use: bool) -> Finding:
    """Judge one rule.

    A fixture that does not hold is an error: the rule does not do what its author said. A rule that has not
    fired is a warning, and only once the platform has decided anything at all.
    """
    own = [failure for failure in failures if failure.rule_id == rule.id]
    figures = {
        "status": rule.status.value,
        "version": rule.version_hash,
        "hits": seen.hits,
        "alerts": seen.alerts,
        "shadow hits": seen.shadow_hits,
        "last hit": str(seen.last_hit or "never"),
    }
    if own:
        return Finding(False, f"{len(own)} fixtures do not hold: " + "; ".join(str(f) for f in own), figures)
    if platform_in_use and not (seen.hits or seen.shadow_hits):
        text = f"fixtures hold, but it has not fired within {DORMANT_AFTER.days} days: dormant, or its data is missing"
        return Finding(False, text, figures, warn_only=True)
    return Finding(True, f"fixtures hold; fired {seen.hits} times, {seen.alerts} in alerts", figures)

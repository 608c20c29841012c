"""What the rules did lately, counted from the decision log."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta

import duckdb

from fraud_domain.rules import Rule
from medallion_assets.defs.quality.lake_sql import rows

LOOK_BACK = timedelta(days=7)
SUBSET_NEEDS_HITS = 20
"""Fewer hits say nothing about whether a rule ever fires alone."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What one rule did within `LOOK_BACK`. `judged` counts decisions about its kind of subject, `always_with` the
    rules that hit on every transaction that it hit on."""

    judged: int = 0
    hits: int = 0
    alerts: int = 0
    abstained: int = 0
    last_hit: date | None = None
    always_with: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Share of judged transactions on which it hit."""
        return self.hits / self.judged if self.judged else 0.0


@dataclass(slots=True)
class _Count:
    hits: int = 0
    alerts: int = 0
    last_hit: date | None = None
    together: Counter[str] = field(default_factory=Counter)


_HITS = """
SELECT list_sort(list_distinct(list_concat(
           json_extract_string(reasons, '$[*].rule_id'), json_extract_string(shadow, '$[*].rule_id')))) AS fired,
       alert, event_date, count(*)
FROM gold.fraud_decisions
WHERE event_date > ? AND (reasons <> '[]' OR shadow <> '[]')
GROUP BY ALL
"""
_ABSTAINED = "SELECT unnest(abstained), count(*) FROM gold.fraud_decisions WHERE event_date > ? GROUP BY 1"
# Rules about others than customers are judged on every transaction, too; only their hits are logged.
_JUDGED = "SELECT count(*) FROM gold.fraud_decisions WHERE event_date > ? AND subject_kind = 'customer'"


def activities(lake: duckdb.DuckDBPyConnection, catalogue: Iterable[Rule], today: date) -> dict[str, Activity]:
    """Activity of each rule of the catalogue, by id."""
    since = today - LOOK_BACK
    judged = int(rows(lake, _JUDGED, since)[0][0])
    abstained = dict(rows(lake, _ABSTAINED, since))
    counts: dict[str, _Count] = defaultdict(_Count)
    for fired, alert, day, number in rows(lake, _HITS, since):
        for rule_id in fired:
            count = counts[rule_id]
            count.hits += number
            count.alerts += number if alert else 0
            count.last_hit = max(filter(None, (count.last_hit, day)))
            count.together.update({other: number for other in fired if other != rule_id})
    return {
        rule.id: Activity(
            judged,
            counts[rule.id].hits,
            counts[rule.id].alerts,
            abstained.get(rule.id, 0),
            counts[rule.id].last_hit,
            tuple(sorted(o for o, n in counts[rule.id].together.items() if n == counts[rule.id].hits)),
        )
        for rule in catalogue
    }

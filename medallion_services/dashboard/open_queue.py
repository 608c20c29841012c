"""What is open, added up in the two ways the overview shows it: waiting by level, and money by currency."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

_COUNTS = ("alerts", "over_an_hour", "over_a_day")


def by_level(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """level -> open alerts, those older than an hour and than a day, over all currencies."""
    found: defaultdict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_COUNTS, 0))
    for row in rows:
        for name in _COUNTS:
            found[row["level"]][name] += int(row[name])
    return dict(found)


def at_risk(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, int, Decimal]]:
    """(currency, alerts that are not hidden, their sum), the largest sum first."""
    alerts: defaultdict[str, int] = defaultdict(int)
    money: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        alerts[row["currency"]] += int(row["awake"])
        money[row["currency"]] += row["at_risk"]
    return sorted(((name, alerts[name], money[name]) for name in money if alerts[name]), key=lambda each: -each[2])

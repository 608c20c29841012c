"""Intervals as settings write them, `5 minutes` or `1 hour 30 minutes`, which is how Spark wants them, too."""

import re
from decimal import Decimal

_MICROS = {
    "microsecond": 1,
    "millisecond": 1_000,
    "second": 1_000_000,
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
    "week": 604_800_000_000,
}
_PART = rf"(\d+(?:\.\d+)?)\s+({'|'.join(_MICROS)})s?"
_INTERVAL = re.compile(rf"{_PART}(?:\s+{_PART})*", re.IGNORECASE)


def interval_micros(interval: str) -> int:
    """Microseconds of an interval setting.

    Raises:
        ValueError: it is not numbers with units.
    """
    # Not by pandas: its import took two thirds of what a driver without Spark needs to start.
    text = interval.strip()
    if _INTERVAL.fullmatch(text) is None:
        raise ValueError(f"'{interval}' is no interval such as '30 seconds' or '1 hour 30 minutes'")
    parts = re.findall(_PART, text, re.IGNORECASE)
    return int(sum(Decimal(number) * _MICROS[unit.lower()] for number, unit in parts))

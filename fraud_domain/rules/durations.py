"""Spans of time: written `10m` in YAML, integer microseconds in the engine, `10 min` to a reader."""

import re

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND

PATTERN = r"^[1-9][0-9]*(ms|s|m|h|d)$"
_UNITS = {"ms": 1_000, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_DURATION = re.compile(PATTERN)


def is_duration(text: str) -> bool:
    """Whether `text` is written like a duration (`90d`)."""
    return _DURATION.match(text) is not None


def parse_duration(text: str) -> int:
    """Microseconds of a duration such as `30s`, `10m`, `24h` or `30d`.

    Raises:
        ValueError: `text` is not a positive whole number followed by ms, s, m, h or d.
    """
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(f"'{text}' is not a duration; write a whole number and ms, s, m, h or d, such as 10m")
    return int(text[: match.start(1)]) * _UNITS[match.group(1)]


def format_duration(microseconds: int) -> str:
    """A span as an analyst says it, rounded down: `45 s`, `9 min`, `2 h 5 min`, `24 h`, `94 days`."""
    if microseconds < MINUTE:
        return f"{microseconds // SECOND} s"
    if microseconds < HOUR:
        return f"{microseconds // MINUTE} min"
    if microseconds < 2 * DAY:
        hours, minutes = divmod(microseconds // MINUTE, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{microseconds // DAY} days"

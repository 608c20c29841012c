"""Reason templates: `"Spent {amount:money} {currency}, {amount / mean:ratio}x the mean (n={n})"`.

A placeholder holds an expression and, after a colon, how to write it. A missing value reads `unknown`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from fraud_domain.rules.durations import format_duration
from fraud_domain.rules.errors import ExpressionError
from fraud_domain.rules.expressions import Expression, parse_expression
from fraud_domain.rules.vocabulary import Kind

UNKNOWN = "unknown"
_PLACEHOLDER = re.compile(r"\{([^{}:]+)(?::([a-z]+))?\}")
_CENT, _TENTH = Decimal("0.01"), Decimal("0.1")
_EXACT = Decimal("0.0001")


def money(value: Any) -> str:
    """Two decimals with thousands separated: `12,500.00`."""
    return f"{Decimal(value).quantize(_CENT, ROUND_HALF_EVEN):,}"


def ratio(value: Any) -> str:
    """One decimal: `6.3`."""
    return f"{Decimal(value).quantize(_TENTH, ROUND_HALF_EVEN):,}"


def percent(value: Any) -> str:
    """A share as whole percent: 0.42 is `42 %`."""
    return f"{(Decimal(value) * 100).quantize(Decimal(1), ROUND_HALF_EVEN)} %"


def ordinal(value: Any) -> str:
    """`1st`, `2nd`, `3rd`, `4th`, `11th`."""
    number = int(value)
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def kilometres(value: Any) -> str:
    """Whole kilometres: `1,240 km`."""
    return f"{int(value):,} km"


def speed(value: Any) -> str:
    """Whole km/h: `2,100 km/h`."""
    return f"{int(value):,} km/h"


def hour(value: Any) -> str:
    """A clock hour: `03:00`."""
    return f"{int(value):02d}:00"


def number(value: Any) -> str:
    """At most two decimals, no trailing zeros: `3`, `2.5`."""
    text = f"{Decimal(value).quantize(_CENT, ROUND_HALF_EVEN):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(value: Any) -> str:
    """Microseconds as `9 min`."""
    return format_duration(int(value))


def plain(value: Any) -> str:
    """Texts as they are, lists joined, flags as yes or no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(sorted(map(str, value))) if isinstance(value, tuple | frozenset) else str(value)


FORMATS: dict[str, tuple[Callable[[Any], str], frozenset[Kind]]] = {
    "money": (money, frozenset({Kind.NUMBER})),
    "ratio": (ratio, frozenset({Kind.NUMBER})),
    "percent": (percent, frozenset({Kind.NUMBER})),
    "ordinal": (ordinal, frozenset({Kind.NUMBER})),
    "km": (kilometres, frozenset({Kind.NUMBER})),
    "speed": (speed, frozenset({Kind.NUMBER})),
    "hour": (hour, frozenset({Kind.NUMBER})),
    "number": (number, frozenset({Kind.NUMBER})),
    "duration": (duration, frozenset({Kind.DURATION})),
    "plain": (plain, frozenset({Kind.TEXT, Kind.FLAG, Kind.TEXTS, Kind.NUMBERS})),
}
DEFAULT_FORMAT = {
    Kind.NUMBER: "number",
    Kind.DURATION: "duration",
    Kind.TEXT: "plain",
    Kind.FLAG: "plain",
    Kind.TEXTS: "plain",
    Kind.NUMBERS: "plain",
}


def render(format_name: str, value: Any) -> str:
    """`value` written as `format_name` says; a missing value reads `unknown`."""
    return UNKNOWN if value is None else FORMATS[format_name][0](value)


def reported(value: Any, kind: str) -> "int | Decimal | str | bool | None":
    """A value for `observed` and `threshold`: exact to four decimals (two if they suffice), spans and lists as text."""
    if value is None or kind in (Kind.TEXT, Kind.FLAG):
        return value  # type: ignore[no-any-return]
    if kind == Kind.NUMBER:
        if isinstance(value, int):
            return value
        exact = Decimal(value).quantize(_EXACT, ROUND_HALF_EVEN)
        cents = exact.quantize(_CENT, ROUND_HALF_EVEN)
        return cents if cents == exact else exact
    return render(DEFAULT_FORMAT[Kind(kind)], value)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """An expression inside a template; `format` None means the default of its kind."""

    expression: Expression
    format: str | None


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed reason template."""

    source: str
    parts: tuple[str | Placeholder, ...]


def parse_template(source: str) -> Template:
    """Split a template into texts and placeholders.

    Raises:
        ExpressionError: a stray brace, an unknown format or a bad expression.
    """
    parts: list[str | Placeholder] = []
    end = 0
    for match in _PLACEHOLDER.finditer(source):
        parts.append(source[end : match.start()])
        name = match.group(2)
        if name is not None and name not in FORMATS:
            raise ExpressionError(f"unknown format '{name}'; one of {', '.join(FORMATS)}")
        parts.append(Placeholder(parse_expression(match.group(1).strip()), name))
        end = match.end()
    parts.append(source[end:])
    if any(isinstance(part, str) and ("{" in part or "}" in part) for part in parts):
        raise ExpressionError("stray brace in the reason; a placeholder is {expression} or {expression:format}")
    return Template(source, tuple(part for part in parts if part != ""))


def format_of(placeholder: Placeholder, kind: Kind) -> str:
    """Name of the format to use for a value of `kind`.

    Raises:
        ExpressionError: the format does not suit the kind, or the kind cannot be shown.
    """
    name = placeholder.format or DEFAULT_FORMAT.get(kind)
    if name is None or kind not in FORMATS[name][1]:
        raise ExpressionError(f"'{placeholder.expression.source}' is a {kind} and cannot be written as {name}")
    return name

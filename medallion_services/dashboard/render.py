"""Templates and how values are written for people."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

_TEMPLATES = Path(__file__).parent / "templates"
_SWAP = str.maketrans(",.", ".,")


DASH = "\u2013"


def grouped(text: str, language: str) -> str:
    """English digits and separators in the style of a language."""
    return text.translate(_SWAP) if language == "pt" else text


def money(value: Any, language: str = "en") -> str:
    """Two decimals, thousands separated."""
    return grouped(f"{Decimal(value).quantize(Decimal('0.01'), ROUND_HALF_EVEN):,}", language)


def number(value: Any, language: str = "en", digits: int = 0) -> str:
    """A number with separators; a dash when it is not known."""
    return DASH if value is None else grouped(f"{float(value):,.{digits}f}", language)


def percent(value: Any, language: str = "en", digits: int = 1) -> str:
    """A share as percent; a dash when it is not known."""
    return DASH if value is None else f"{number(100 * float(value), language, digits)} %"


def size(value: Any) -> str:
    """Bytes in powers of 1024."""
    if value is None:
        return DASH
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if amount >= 10 or unit == "B" else f"{amount:.1f} {unit}"


def span(seconds: Any) -> str:
    """A length of time in its largest unit."""
    if seconds is None:
        return DASH
    left = max(float(seconds), 0.0)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if left >= length:
            return f"{left / length:.0f} {unit}"
    return f"{left:.0f} s"


def when(moment: datetime | None) -> Markup:
    """A moment as a `time` element: UTC for those without scripts, the reader's zone with."""
    if moment is None:
        return escape(DASH)
    utc = moment.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(utc.isoformat(), utc.strftime("%Y-%m-%d %H:%M:%S UTC"))


def age(moment: datetime | None, now: datetime | None = None) -> Markup:
    """How long ago, as a `time` element that a script keeps current."""
    if moment is None:
        return escape(DASH)
    passed = (now or datetime.now(UTC)) - moment
    return Markup('<time datetime="{}" data-age>{}</time>').format(
        moment.astimezone(UTC).isoformat(), span(max(passed, timedelta()).total_seconds())
    )


def as_json(value: Any) -> Markup:
    """Data for a script, safe inside a `script` element of type application/json."""
    text = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    # Without "<" nothing can end the element; the rest is data that no browser runs.
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704


def environment() -> Environment:
    """The templates; a name that a page forgot is an error."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"when": when, "age": age, "span": span, "size": size, "json": as_json}
    return made

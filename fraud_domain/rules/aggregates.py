"""What generated programs call at run time: aggregates over rows, and arithmetic that knows missing values.

A row is a tuple of event fields; `position` is where a field stands in it. Money stays exact: sums are exact
in a 50-digit context, and only the one division (and root) of a mean or deviation is rounded.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from fraud_domain.rules.geo import distance_km, speed_kmh

Row = tuple[Any, ...]
Number = int | Decimal

EXACT_CONTEXT = Context(prec=50, rounding=ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999)
"""Squares of 18-digit amounts, summed over a thousand events, fit without rounding."""


def divide(dividend: Number | None, divisor: Number | None) -> Decimal | None:
    """Quotient, None when a side is missing or the divisor zero."""
    return Decimal(dividend) / divisor if dividend is not None and divisor else None


def remainder(dividend: Number | None, divisor: Number | None) -> Decimal | None:
    """Remainder with the sign of the dividend, None when a side is missing or the divisor zero."""
    return Decimal(dividend) % divisor if dividend is not None and divisor else None


def values_of(rows: Sequence[Row], position: int) -> list[Any]:
    """The values of a field that are not missing."""
    return [value for row in rows if (value := row[position]) is not None]


def mean(values: Sequence[Number]) -> Decimal | None:
    """Arithmetic mean, None of nothing."""
    return Decimal(sum(values)) / len(values) if values else None


def deviation(values: Sequence[Number]) -> Decimal | None:
    """Sample standard deviation, None of fewer than two values."""
    count = len(values)
    if count < 2:
        return None
    total = sum(values)
    spread = count * sum([value * value for value in values]) - total * total
    return (Decimal(spread) / (count * (count - 1))).sqrt()


def minimum(values: Sequence[Any]) -> Any:
    """Smallest value, None of nothing."""
    return min(values) if values else None


def maximum(values: Sequence[Any]) -> Any:
    """Largest value, None of nothing."""
    return max(values) if values else None


def falling(values: Sequence[Number]) -> int:
    """Length of the strictly falling run that the newest value ends."""
    length = min(len(values), 1)
    for older, newer in zip(values[-2::-1], values[:0:-1], strict=True):
        if newer >= older:
            break
        length += 1
    return length


def travelled(row: Row | None, latitude: int, longitude: int, to_latitude: Any, to_longitude: Any) -> int | None:
    """Whole km from the place of `row` to the given one."""
    return None if row is None else distance_km(row[latitude], row[longitude], to_latitude, to_longitude)


def pace(
    row: Row | None, latitude: int, longitude: int, to_latitude: Any, to_longitude: Any, moment: int
) -> int | None:
    """Whole km/h from the place and time of `row` to the given ones."""
    if row is None:
        return None
    return speed_kmh(row[latitude], row[longitude], to_latitude, to_longitude, moment - row[0])

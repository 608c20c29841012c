"""Moments as the rules count them: microseconds since 1970."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def epoch_micros(moment: datetime) -> int:
    """Microseconds since 1970 of an aware moment, exactly: a float would round them."""
    return (moment - _EPOCH) // _MICROSECOND

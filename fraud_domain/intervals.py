"""Intervals as settings write them, `5 minutes`, which is how Spark wants them, too."""

import pandas as pd


def interval_micros(interval: str) -> int:
    """Microseconds of an interval setting.

    Raises:
        ValueError: it is not a number and a unit.
    """
    return int(pd.Timedelta(interval).value // 1_000)

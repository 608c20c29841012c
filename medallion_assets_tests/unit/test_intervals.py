"""Intervals of settings, in microseconds."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from fraud_domain.intervals import interval_micros
from fraud_domain.settings import PROJECT_ROOT, StreamSettings

SECOND, MINUTE, HOUR = 1_000_000, 60_000_000, 3_600_000_000


@pytest.mark.parametrize(
    ("written", "micros"),
    [
        ("500 milliseconds", 500_000),
        ("1 second", SECOND),
        ("0 seconds", 0),
        ("10 minutes", 10 * MINUTE),
        (" 2  Hours ", 2 * HOUR),
        ("1.5 hours", 90 * MINUTE),
        ("1 hour 30 minutes", 90 * MINUTE),
        ("30 days", 720 * HOUR),
        ("1 week", 168 * HOUR),
    ],
)
def test_intervals_are_read(written: str, micros: int) -> None:
    assert interval_micros(written) == micros


@pytest.mark.parametrize(
    "written", ["", "soon", "5", "minutes", "5 parsecs", "-5 minutes", "5 minutes or so", "5minutes"]
)
def test_what_is_no_interval_is_refused_by_its_words(written: str) -> None:
    with pytest.raises(ValueError, match=f"'{written}' is no interval such as '30 seconds'"):
        interval_micros(written)


@pytest.mark.parametrize("name", ["late_after", "future_tolerance", "deduplicate_within"])
def test_a_setting_that_is_no_interval_is_refused_at_once(name: str) -> None:
    with pytest.raises(ValidationError, match="'5 parsecs' is no interval such as '30 seconds'"):
        StreamSettings.model_validate({name: "5 parsecs"})


def test_the_defaults_are_intervals() -> None:
    streams = StreamSettings()
    assert interval_micros(streams.late_after) == 10 * MINUTE
    assert interval_micros(streams.future_tolerance) == 5 * MINUTE
    assert interval_micros(streams.deduplicate_within) == 24 * HOUR


def test_a_driver_without_spark_starts_without_what_takes_long_to_import() -> None:
    code = "import sys, spark_jobs.direct_to_postgres; print({'pandas', 'pyspark', 'dagster'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout == "set()\n"

"""All stages of a load of history in one Spark session: bronze, silver, gold, marts; tells the rows per second of each.

spark-submit spark_jobs/medallion_history.py --source DIR --load NAME
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from pyspark.sql import SparkSession

from fraud_domain.settings import Settings
from spark_jobs.batch import main, rule_set
from spark_jobs.history_gold import load_decisions, load_metrics, span_of, windows_of
from spark_jobs.history_load import plan, source_files
from spark_jobs.lake import read_table
from spark_jobs.medallion_bronze import BRONZE, load_bronze, parser
from spark_jobs.medallion_silver import load_silver
from spark_jobs.medallion_to_postgres import load_marts
from spark_jobs.runtime import say

_RECORD = """
INSERT INTO fraud.history_loads AS l (load, files, rows, first_day, last_day, rule_set_version)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (load) DO UPDATE SET checked_at = clock_timestamp()
"""


def run(spark: SparkSession, settings: Settings, chosen: argparse.Namespace) -> None:
    """The job."""
    load = plan(chosen.load, source_files(Path(chosen.source)))
    rules = rule_set(settings)
    took: dict[str, float] = {}

    def timed(name: str, stage: Callable[[], object]) -> None:
        started = time.monotonic()
        stage()
        took[name] = time.monotonic() - started

    timed("bronze", lambda: load_bronze(spark, settings, load))
    timed("silver", lambda: load_silver(spark, settings, load))
    with windows_of(spark, settings, load) as windows:
        timed("gold metrics", lambda: load_metrics(spark, settings, load, windows))
        timed("marts", lambda: load_marts(settings, load, windows))
    timed("gold decisions", lambda: load_decisions(spark, settings, load, rules))
    rows = load.of(read_table(spark, settings.lake_root, BRONZE)).count()
    for name, seconds in took.items():
        say(f"{name}: {seconds:.1f} s, {rows / seconds:,.0f} rows/s")
    total = sum(took.values())
    say(f"load {load.name}: {rows} rows of {len(load.files)} files in {total:.1f} s, {rows / total:,.0f} rows/s")
    days = span_of(spark, settings, load)
    with psycopg.connect(**settings.postgres_parameters("fraud_writer")) as connection:
        connection.execute(
            _RECORD,
            (
                load.name,
                [str(file.name) for file in load.files],
                rows,
                days and days.start,
                days and days.end,
                rules.version,
            ),
        )


if __name__ == "__main__":
    sys.exit(main("history", parser(), run))

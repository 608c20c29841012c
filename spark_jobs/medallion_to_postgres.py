"""Batch job `to_postgres`: a load's window metrics to the marts, by COPY, once.

    spark-submit spark_jobs/medallion_to_postgres.py --source DIR --load NAME

Only marts are written. Alerts are for what people can still act on: a load raises none, and touches no analyst's work.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraud_domain.settings import Settings
from fraud_domain.tables import TableSpec, table
from spark_jobs.aggregates import METRICS_RULE
from spark_jobs.batch import main
from spark_jobs.history_gold import metrics_batch, windows_of
from spark_jobs.history_load import Load, plan, source_files
from spark_jobs.marts import enter, upsert
from spark_jobs.medallion_bronze import parser
from spark_jobs.runtime import say

_CSV = {"escape": '"', "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}
"""As PostgreSQL reads it: nothing is null, two quotation marks are nothing, a mark within is doubled."""
_ROWS_OF_A_PART = 100_000


def load_marts(settings: Settings, load: Load, windows: Mapping[str, DataFrame]) -> bool:
    """Add the load to the marts in one transaction; False when the ledger has it already."""
    with psycopg.connect(**settings.postgres_parameters("fraud_writer")) as connection, connection.transaction():
        if not enter(connection, metrics_batch(load)):
            say("to_postgres: the marts have this load already")
            return False
        for span, metrics in windows.items():
            spec = table(f"mart.transaction_metrics_{span}")
            say(f"to_postgres: {_copy(connection, spec, metrics)} rows to {spec.full_name}")
    return True


def _copy(connection: psycopg.Connection[tuple[object, ...]], spec: TableSpec, frame: DataFrame) -> int:
    """COPY into a temporary table, then one upsert that adds; Spark writes the lines, in parallel."""
    # A part comes to the driver as a whole, so it must be small however much was loaded.
    parts = 1 + frame.count() // _ROWS_OF_A_PART
    staging = sql.Identifier(f"staged_{spec.name}")
    target = sql.Identifier(spec.layer, spec.name)
    columns = sql.SQL(", ").join(sql.Identifier(c) for c in spec.column_names)
    connection.execute(sql.SQL("CREATE TEMP TABLE {} (LIKE {}) ON COMMIT DROP").format(staging, target))
    lines = frame.repartition(parts, *spec.key).select(F.to_csv(F.struct(*spec.column_names), _CSV).alias("line"))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(staging, columns)
    count = 0
    with connection.cursor().copy(statement) as copy:
        for row in lines.toLocalIterator(prefetchPartitions=True):
            copy.write(f"{row.line}\n")
            count += 1
    connection.execute(upsert(spec, METRICS_RULE.sums, sql.SQL("SELECT {} FROM {}").format(columns, staging)))
    return count


def run(spark: SparkSession, settings: Settings, chosen: argparse.Namespace) -> None:
    """The job."""
    load = plan(chosen.load, source_files(Path(chosen.source)))
    with windows_of(spark, settings, load) as windows:
        load_marts(settings, load, windows)


if __name__ == "__main__":
    sys.exit(main("to_postgres", parser(), run))

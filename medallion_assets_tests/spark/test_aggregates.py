"""Window metrics and profiles: hours made of minutes, and the columns they are made of."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from fraud_domain.tables import table
from medallion_assets.defs.quality.lake_sql import empty
from medallion_assets_tests.lake_rows import NOW, row
from spark_jobs.aggregates import (
    AGGREGATED,
    METRICS,
    PROFILED,
    PROFILES,
    hours_of,
    profiles,
    profiles_in_process,
    window_metrics,
    windows_in_process,
)
from spark_jobs.schemas import table_schema

SILVER = table("silver.transactions")


def transactions(number: int) -> Iterator[dict[str, Any]]:
    """Two hours of payments and refunds, seconds apart; some name no merchant or country."""
    random = Random(7)
    for second in range(0, 7_200, 7_200 // number):
        yield row(
            SILVER,
            event_time=NOW + timedelta(seconds=second),
            amount=Decimal(random.randint(-20_000, 90_000)) / 100,
            currency=random.choice(("EUR", "BRL")),
            status=random.choice(("APPROVED", "APPROVED", "DECLINED")),
            customer_id=f"c{random.randint(1, 9)}",
            merchant_id=random.choice((None, "m1", "m2")),
            merchant_country=random.choice((None, "BR", "DE")),
            channel=random.choice(("POS", "WEB")),
            is_late=random.random() < 0.1,
        )


@pytest.fixture(scope="module")
def silver(spark: SparkSession) -> DataFrame:
    names = SILVER.column_names
    rows = [tuple(values.get(name) for name in names) for values in transactions(300)]
    return spark.createDataFrame(rows, table_schema(SILVER))


def counted(frame: DataFrame) -> set[tuple[Any, ...]]:
    """Rows, in the order of their table's columns."""
    return {tuple(each) for each in frame.collect()}


def test_hours_made_of_minutes_are_those_made_of_transactions(silver: DataFrame) -> None:
    columns = METRICS["hour"].column_names
    made = counted(hours_of(window_metrics(silver, "minute")).select(*columns))
    assert made == counted(window_metrics(silver, "hour").select(*columns))
    everything = [each for each in made if each[columns.index("dimension")] == "all"]
    assert sum(each[columns.index("transactions")] for each in everything) == silver.count()


def test_nothing_but_the_named_columns_is_needed(silver: DataFrame) -> None:
    assert counted(window_metrics(silver.select(*AGGREGATED), "minute")) == counted(window_metrics(silver, "minute"))
    few = silver.select(*PROFILED)
    for spec in PROFILES.values():
        assert counted(profiles(few, spec)) == counted(profiles(silver, spec)) != set()


def test_both_engines_add_up_the_same(silver: DataFrame) -> None:
    windows = windows_in_process(silver.select(*AGGREGATED).toArrow())
    usual = profiles_in_process(silver.select(*PROFILED).toArrow())
    pairs = [(windows[span], window_metrics(silver, span), spec) for span, spec in METRICS.items()]
    pairs += [(usual[entity], profiles(silver, spec), spec) for entity, spec in PROFILES.items()]
    for mine, theirs, spec in pairs:
        schema = pa.schema(empty(spec).schema)
        one, other = (_rounded(rows.select(spec.column_names).cast(schema)) for rows in (mine, theirs.toArrow()))
        assert one == other != []


def _rounded(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows in order; sums of floating point depend on the order in which they are added."""
    return sorted(
        ({name: round(value, 4) if isinstance(value, float) else value for name, value in each.items()}
         for each in rows.to_pylist()),
        key=str,
    )  # fmt: skip

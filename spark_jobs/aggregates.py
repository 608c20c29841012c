"""Gold aggregates of silver transactions: pure transforms whose results add up across batches."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import duckdb
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from fraud_domain.tables import TableSpec, table
from spark_jobs.additive_merge import Additive
from spark_jobs.batch_rows import Rows

METRICS = {"minute": table("gold.transaction_metrics_minute"), "hour": table("gold.transaction_metrics_hour")}
PROFILES = {"customer": table("gold.customer_profiles"), "merchant": table("gold.merchant_profiles")}

METRICS_RULE = Additive(sums=("transactions", "approved", "declined", "refunds", "late", "amount", "refund_amount"))
PROFILE_RULE = Additive(
    sums=("transactions", "declined", "refunds", "purchases", "amount", "amount_squares"),
    least=("first_seen",),
    greatest=("last_seen", "largest"),
)

_DIMENSION_COLUMNS = {
    "type": "type",
    "channel": "channel",
    "category": "mcc",
    "country": "merchant_country",
    "state": "billing_state",
}
_DIMENSIONS = {"all": "'all'"} | {name: f"coalesce({c}, 'unknown')" for name, c in _DIMENSION_COLUMNS.items()}

_COUNTED = ("event_time", "status", "amount", "currency")
AGGREGATED = (*_COUNTED, "is_late", *_DIMENSION_COLUMNS.values())
"""What of a transaction window metrics are made of."""
PROFILED = (*_COUNTED, *(spec.key[0] for spec in PROFILES.values()))
"""What of a transaction profiles are made of."""

_PURCHASE = "(amount > 0 AND status = 'APPROVED')"
_MEASURES = {
    "transactions": "count(*)",
    "declined": "count_if(status = 'DECLINED')",
    "refunds": "count_if(amount < 0)",
    "amount": f"coalesce(sum(CASE WHEN {_PURCHASE} THEN amount END), 0)",
}
"""Of windows and of profiles; these and the next in words that Spark and DuckDB both understand."""
_WINDOW_MEASURES = _MEASURES | {
    "approved": "count_if(status = 'APPROVED')",
    "late": "count_if(is_late)",
    "refund_amount": "coalesce(sum(CASE WHEN amount < 0 THEN amount END), 0)",
    "event_date": "min(CAST(event_time AS DATE))",
}
_SQUARE = "CAST(amount AS DOUBLE) * CAST(amount AS DOUBLE)"
_PROFILE_MEASURES = _MEASURES | {
    "purchases": f"count_if({_PURCHASE})",
    "amount_squares": f"coalesce(sum(CASE WHEN {_PURCHASE} THEN {_SQUARE} END), 0)",
    "largest": f"max(CASE WHEN {_PURCHASE} THEN amount END)",
    "first_seen": "min(event_time)",
    "last_seen": "max(event_time)",
}


def _sql(spec: TableSpec, measures: Mapping[str, str]) -> list[str]:
    """Each measure with the type and the name of its column."""
    types = {column.name: column.type for column in spec.columns}
    return [f"CAST({measure} AS {types[name]}) AS {name}" for name, measure in measures.items()]


def window_metrics(transactions: DataFrame, span: str) -> DataFrame:
    """Transactions per `span` (minute or hour) of event time and per value of each dimension."""
    dimensions = F.array(*(F.struct(F.lit(name).alias("dimension"), F.expr(value).alias("value"))
                           for name, value in _DIMENSIONS.items()))  # fmt: skip
    exploded = transactions.withColumn("_d", F.explode(dimensions))
    return exploded.groupBy(
        F.date_trunc(span, "event_time").alias("window_start"), "_d.dimension", "_d.value", "currency"
    ).agg(*map(F.expr, _sql(METRICS[span], _WINDOW_MEASURES)))


def hours_of(minutes: DataFrame) -> DataFrame:
    """`window_metrics` an hour, from those a minute: the transactions are not read again."""
    hour = F.date_trunc("hour", "window_start").alias("window_start")
    sums = [F.sum(c).cast(minutes.schema[c].dataType).alias(c) for c in METRICS_RULE.sums]
    return minutes.groupBy(hour, "dimension", "value", "currency").agg(*sums, F.first("event_date").alias("event_date"))


@contextmanager
def held_windows(transactions: DataFrame) -> Iterator[dict[str, DataFrame]]:
    """Window metrics by span: made once, when they are first asked for, and at hand for lake and marts in the block."""
    minute = window_metrics(transactions, "minute").persist()
    hour = hours_of(minute).persist()
    try:
        yield {"minute": minute, "hour": hour}
    finally:
        hour.unpersist()
        minute.unpersist()


def profiles(transactions: DataFrame, spec: TableSpec) -> DataFrame:
    """What is usual per customer or per merchant, and currency."""
    entity = spec.key[0]
    known = transactions.where(F.col(entity).isNotNull())
    return known.groupBy(entity, "currency").agg(*map(F.expr, _sql(spec, _PROFILE_MEASURES)))


@contextmanager
def held_profiles(transactions: DataFrame) -> Iterator[dict[str, DataFrame]]:
    """Profiles by entity, at hand in the block as `held_windows` has its own."""
    held = {entity: profiles(transactions, spec).persist() for entity, spec in PROFILES.items()}
    try:
        yield held
    finally:
        for usual in held.values():
            usual.unpersist()


def windows_of(transactions: Rows) -> AbstractContextManager[Mapping[str, Rows]]:
    """Window metrics of a batch by span, at hand in the block."""
    if isinstance(transactions, DataFrame):
        return held_windows(transactions)
    return nullcontext(windows_in_process(transactions))


def profiles_of(transactions: Rows) -> AbstractContextManager[Mapping[str, Rows]]:
    """Profiles of a batch by entity, at hand in the block."""
    if isinstance(transactions, DataFrame):
        return held_profiles(transactions)
    return nullcontext(profiles_in_process(transactions))


def windows_in_process(transactions: pa.Table) -> dict[str, pa.Table]:
    """`window_metrics` by span of rows in this process; times are UTC without saying so."""
    return _asked(transactions, {span: _windows_query(span) for span in METRICS})


def profiles_in_process(transactions: pa.Table) -> dict[str, pa.Table]:
    """`profiles` by entity of rows in this process; times are UTC without saying so."""
    return _asked(transactions, {entity: _profiles_query(spec) for entity, spec in PROFILES.items()})


def _asked(transactions: pa.Table, queries: Mapping[str, str]) -> dict[str, pa.Table]:
    number = transactions.column_names.index("event_time")
    plain = transactions.set_column(number, "event_time", transactions["event_time"].cast(pa.timestamp("us")))
    # Few rows: a second thread would only wait for the first.
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("transactions", plain)
        return {name: connection.sql(query).to_arrow_table() for name, query in queries.items()}


def _windows_query(span: str) -> str:
    each = ", ".join(f"{{'dimension': '{name}', 'value': {value}}}" for name, value in _DIMENSIONS.items())
    key = (f"date_trunc('{span}', event_time) AS window_start", "_d.dimension", "_d.value", "currency")
    columns = ", ".join([*key, *_sql(METRICS[span], _WINDOW_MEASURES)])
    # Names and measures are of this module and of the registry.
    return f"SELECT {columns} FROM (SELECT *, unnest([{each}]) AS _d FROM transactions) GROUP BY ALL"  # noqa: S608


def _profiles_query(spec: TableSpec) -> str:
    entity = spec.key[0]
    columns = ", ".join([entity, "currency", *_sql(spec, _PROFILE_MEASURES)])
    return f"SELECT {columns} FROM transactions WHERE {entity} IS NOT NULL GROUP BY ALL"  # noqa: S608


def rule_metrics(decisions: DataFrame) -> DataFrame:
    """Hits, alerts and points per rule and day, over everything seen so far (complete mode)."""
    hit = "array<struct<rule_id:string,rule_version:string,contribution:double>>"
    live = F.transform(
        F.from_json("reasons", hit),
        lambda r: F.struct(r["rule_id"], r["rule_version"], r["contribution"], F.lit(False).alias("is_shadow")),
    )
    shadow = F.transform(
        F.from_json("shadow", hit),
        lambda r: F.struct(r["rule_id"], r["rule_version"], r["contribution"], F.lit(True).alias("is_shadow")),
    )
    hits = decisions.select("event_date", "alert", F.explode(F.concat(live, shadow)).alias("hit"))
    return hits.groupBy("event_date", "hit.rule_id", "hit.rule_version").agg(
        F.count_if(~F.col("hit.is_shadow")).alias("hits"),
        F.count_if(~F.col("hit.is_shadow") & F.col("alert")).alias("alerts"),
        F.count_if("hit.is_shadow").alias("shadow_hits"),
        F.coalesce(F.sum(F.when(~F.col("hit.is_shadow"), F.col("hit.contribution"))), F.lit(0.0)).alias("points"),
    )

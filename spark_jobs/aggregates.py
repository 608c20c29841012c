"""Gold aggregates of silver transactions: pure transforms whose results add up across batches."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from fraud_domain.tables import MONEY, TOTAL, TableSpec, table
from spark_jobs.additive_merge import Additive

METRICS = {"minute": table("gold.transaction_metrics_minute"), "hour": table("gold.transaction_metrics_hour")}
PROFILES = {"customer": table("gold.customer_profiles"), "merchant": table("gold.merchant_profiles")}

METRICS_RULE = Additive(sums=("transactions", "approved", "declined", "refunds", "late", "amount", "refund_amount"))
PROFILE_RULE = Additive(
    sums=("transactions", "declined", "refunds", "purchases", "amount", "amount_squares"),
    least=("first_seen",),
    greatest=("last_seen", "largest"),
)

_DIMENSIONS = {
    "all": "all",
    "type": "type",
    "channel": "channel",
    "category": "mcc",
    "country": "merchant_country",
    "state": "billing_state",
}

AGGREGATED = (
    *("event_time", "status", "amount", "currency", "is_late", "customer_id", "merchant_id"),
    *(column for column in _DIMENSIONS.values() if column != "all"),
)
"""What of a transaction metrics and profiles are made of."""


def _is_purchase() -> Column:
    return (F.col("amount") > 0) & (F.col("status") == "APPROVED")


def _total(value: Column, when: Column) -> Column:
    return F.coalesce(F.sum(F.when(when, value)), F.lit(0)).cast(TOTAL)


def window_metrics(transactions: DataFrame, span: str) -> DataFrame:
    """Transactions per `span` (minute or hour) of event time and per value of each dimension."""
    dimensions = F.array(
        *(
            F.struct(
                F.lit(name).alias("dimension"),
                (F.lit("all") if column == "all" else F.coalesce(F.col(column), F.lit("unknown"))).alias("value"),
            )
            for name, column in _DIMENSIONS.items()
        )
    )
    exploded = transactions.withColumn("_d", F.explode(dimensions))
    return exploded.groupBy(
        F.date_trunc(span, "event_time").alias("window_start"), "_d.dimension", "_d.value", "currency"
    ).agg(
        F.count("*").alias("transactions"),
        F.count_if(F.col("status") == "APPROVED").alias("approved"),
        F.count_if(F.col("status") == "DECLINED").alias("declined"),
        F.count_if(F.col("amount") < 0).alias("refunds"),
        F.count_if("is_late").alias("late"),
        _total(F.col("amount"), _is_purchase()).alias("amount"),
        _total(F.col("amount"), F.col("amount") < 0).alias("refund_amount"),
        F.to_date(F.first(F.date_trunc(span, "event_time"))).alias("event_date"),
    )


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
    amount = F.when(_is_purchase(), F.col("amount"))
    return (
        transactions.where(F.col(entity).isNotNull())
        .groupBy(entity, "currency")
        .agg(
            F.count("*").alias("transactions"),
            F.count_if(F.col("status") == "DECLINED").alias("declined"),
            F.count_if(F.col("amount") < 0).alias("refunds"),
            F.count_if(_is_purchase()).alias("purchases"),
            _total(F.col("amount"), _is_purchase()).alias("amount"),
            F.coalesce(F.sum(amount.cast("double") * amount.cast("double")), F.lit(0.0)).alias("amount_squares"),
            F.max(amount).cast(MONEY).alias("largest"),
            F.min("event_time").alias("first_seen"),
            F.max("event_time").alias("last_seen"),
        )
    )


@contextmanager
def held_profiles(transactions: DataFrame) -> Iterator[dict[str, DataFrame]]:
    """Profiles by entity, at hand in the block as `held_windows` has its own."""
    held = {entity: profiles(transactions, spec).persist() for entity, spec in PROFILES.items()}
    try:
        yield held
    finally:
        for usual in held.values():
            usual.unpersist()


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

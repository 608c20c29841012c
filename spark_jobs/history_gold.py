"""A load's silver rows into gold: window metrics and profiles by adding, decisions by the rules.

The rules see what silver holds of the days before the load as well, so that its first day is not blind.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraud_domain.micro_batch import Batch
from fraud_domain.settings import Settings
from fraud_domain.tables import TableSpec, table
from spark_jobs.additive_merge import Additive, merge_additive
from spark_jobs.aggregates import (
    METRICS,
    METRICS_RULE,
    PROFILE_RULE,
    PROFILES,
    held_profiles,
    held_windows,
)
from spark_jobs.batch import Days
from spark_jobs.batch_rows import taken
from spark_jobs.history_load import Load, append_history, is_written
from spark_jobs.judging import LOOK_BACK_DAYS
from spark_jobs.lake import ensure_table, read_table
from spark_jobs.medallion_gold import decide_all
from spark_jobs.published_rules import RuleSet
from spark_jobs.runtime import say

SILVER, DECISIONS = table("silver.transactions"), table("gold.fraud_decisions")
ONE = 1
"""Gold takes a load as one batch. Not 0: the first batch of a stream empties the tables it adds to."""


def metrics_batch(load: Load) -> Batch:
    """Identity of a load's aggregates, in Delta and in the ledger of the marts."""
    return Batch("history.metrics", load.name, ONE)


def span_of(spark: SparkSession, settings: Settings, load: Load) -> Days | None:
    """Event dates of a load, None when silver holds nothing of it."""
    rows = load.of(read_table(spark, settings.lake_root, SILVER))
    first = rows.agg(F.min("event_date"), F.max("event_date")).collect()[0]
    return None if first[0] is None else Days(first[0], first[1] + timedelta(days=1))


def windows_of(spark: SparkSession, settings: Settings, load: Load) -> AbstractContextManager[Mapping[str, DataFrame]]:
    """The window metrics of a load by span, held at hand."""
    return held_windows(load.of(read_table(spark, settings.lake_root, SILVER)))


def load_metrics(spark: SparkSession, settings: Settings, load: Load, windows: Mapping[str, DataFrame]) -> None:
    """Add the load to window metrics and profiles, each table once."""
    lake, batch = settings.lake_root, metrics_batch(load)
    rows = load.of(read_table(spark, lake, SILVER))
    for span, metrics in windows.items():
        _add(spark, metrics, lake, METRICS[span], METRICS_RULE, batch)
    with held_profiles(rows) as usual:
        for entity, updates in usual.items():
            _add(spark, updates, lake, PROFILES[entity], PROFILE_RULE, batch)


def _add(spark: SparkSession, updates: DataFrame, lake: str, spec: TableSpec, rule: Additive, batch: Batch) -> None:
    ensure_table(spark, lake, spec)
    few = taken(updates, lake, updates.count())
    merge_additive(spark, updates if few is None else few, lake, spec, rule, batch)
    say(f"gold: {spec.full_name}")


def load_decisions(spark: SparkSession, settings: Settings, load: Load, rules: RuleSet) -> None:
    """Decide the load's transactions, with the days before them as history."""
    for spec in (DECISIONS, table("silver.labels"), table("silver.account_events")):
        ensure_table(spark, settings.lake_root, spec)
    days = span_of(spark, settings, load)
    if days is not None and not is_written(spark, settings.lake_root, DECISIONS, load, ONE):
        since = days.start - timedelta(days=LOOK_BACK_DAYS)
        decisions = load.of(decide_all(spark, settings, since, days, rules))
        append_history(decisions, settings.lake_root, DECISIONS, load, ONE)
    say(f"gold: decisions by rule set {rules.version}")

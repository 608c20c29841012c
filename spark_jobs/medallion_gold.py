"""Batch job `gold`: decide days again from silver.

    spark-submit spark_jobs/medallion_gold.py --from 2026-11-01 --to 2026-11-08

Each day of `gold.recomputed_decisions` is replaced as a whole, in one commit: running it twice changes nothing. With
the rule set in force the result proves the stream right; with another one it shows what that would have said.
"""

import argparse
import sys
import time
from datetime import timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraud_domain.rules import Origin, load_texts
from fraud_domain.settings import Settings
from fraud_domain.tables import table
from spark_jobs.batch import Days, main, parse_day, report, rule_set
from spark_jobs.batch_decisions import decide_history
from spark_jobs.judging import LOOK_BACK_DAYS, Limits
from spark_jobs.lake import ensure_table, read_table, replace_days
from spark_jobs.published_rules import RuleSet
from spark_jobs.runtime import say

RECOMPUTED = table("gold.recomputed_decisions")
_NOTES = {Origin.LABELS: table("silver.labels"), Origin.ACCOUNT_EVENTS: table("silver.account_events")}


def recompute(spark: SparkSession, settings: Settings, days: Days, rules: RuleSet, look_back_days: int) -> int:
    """Decide the transactions of `days` again; returns how many decisions were written."""
    lake = settings.lake_root
    for spec in (table("silver.transactions"), *_NOTES.values(), RECOMPUTED):
        ensure_table(spark, lake, spec)
    decisions = decide_all(spark, settings, days.start - timedelta(days=look_back_days), days, rules)
    return replace_days(decisions, lake, RECOMPUTED, days.start, days.end)


def decide_all(spark: SparkSession, settings: Settings, since: object, days: Days, rules: RuleSet) -> DataFrame:
    """Decisions of `days` about everybody, judged with the history from `since` on."""
    lake = settings.lake_root
    transactions = read_table(spark, lake, table("silver.transactions"))
    transactions = transactions.where((F.col("event_date") >= F.lit(since)) & (F.col("event_date") < F.lit(days.end)))
    notes = {origin: read_table(spark, lake, spec) for origin, spec in _NOTES.items()}
    limits, partitions = Limits.of(settings), settings.spark.shuffle_partitions
    parts = [
        decide_history(transactions, notes, rules, limits, subject, partitions)
        for subject in load_texts(dict(rules.texts)).subjects
    ]
    decisions = parts[0]
    for part in parts[1:]:
        decisions = decisions.unionByName(part)
    return decisions.where(F.col("event_date") >= F.lit(days.start))


def run(spark: SparkSession, settings: Settings, chosen: argparse.Namespace) -> None:
    """The job."""
    rules = rule_set(settings, chosen.rule_set)
    started = time.monotonic()
    written = recompute(spark, settings, Days(chosen.start, chosen.end), rules, chosen.look_back_days)
    report(decisions=written, rule_set=rules.version, seconds=round(time.monotonic() - started, 1))
    say(f"{written} decisions from {chosen.start} to {chosen.end} by rule set {rules.version}")


def parser() -> argparse.ArgumentParser:
    """The arguments of the job."""
    made = argparse.ArgumentParser(prog="medallion_gold.py", description="Decide days again from silver")
    made.add_argument("--from", dest="start", type=parse_day, required=True, help="first event date, UTC")
    made.add_argument("--to", dest="end", type=parse_day, required=True, help="day after the last one")
    made.add_argument("--rule-set", help="a published version, or `directory`; default: the newest published")
    made.add_argument("--look-back-days", type=int, default=LOOK_BACK_DAYS, help="history before the first day")
    return made


if __name__ == "__main__":
    sys.exit(main("gold", parser(), run))

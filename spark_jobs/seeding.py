"""What a new checkpoint of the alert lane begins with: histories told by files, so that its first day is not blind.

Transactions loaded from files (`medallion history load`) are in silver and never in the topics. A query that starts
on a new checkpoint takes the histories they leave behind, as the batch has them before the first row of the topic. One
that goes on on its checkpoint does not: after a later load, `medallion checkpoint rebase` begins it anew.
"""

from datetime import timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraud_domain.rules import Subject, load_texts
from fraud_domain.settings import Settings
from fraud_domain.tables import table
from fraud_domain.topics import HISTORY_PREFIX
from spark_jobs.batch_decisions import remember_history
from spark_jobs.judging import LOOK_BACK_DAYS, Limits
from spark_jobs.lake import has_rows, is_there, read_table
from spark_jobs.published_rules import RuleSet

SILVER = table("silver.transactions")


def loaded_transactions(spark: SparkSession, settings: Settings) -> DataFrame | None:
    """Rows of silver that came from files, the last 120 days of them; None when there are none."""
    lake = settings.lake_root
    if not is_there(spark, lake, SILVER) or not has_rows(spark, lake, SILVER):
        return None
    loaded = read_table(spark, lake, SILVER).where(F.startswith("topic", F.lit(HISTORY_PREFIX)))
    newest = loaded.agg(F.max("event_date")).collect()[0][0]
    if newest is None:
        return None
    return loaded.where(F.col("event_date") > F.lit(newest - timedelta(days=LOOK_BACK_DAYS)))


def seed_of(
    loaded: DataFrame | None, rules: RuleSet, limits: Limits, customers: bool, partitions: int
) -> DataFrame | None:
    """Histories of customers, or of all the others that rules are about; None when nothing was loaded."""
    if loaded is None:
        return None
    subjects = [s for s in load_texts(dict(rules.texts)).subjects if (s is Subject.CUSTOMER) == customers]
    seed = None
    for subject in subjects:
        part = remember_history(loaded, rules, limits, subject, partitions)
        seed = part if seed is None else seed.unionByName(part)
    return seed

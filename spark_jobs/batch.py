"""What all batch jobs share: a Spark session, the arguments of a span of days, the rule set to judge by."""

import argparse
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date

import psycopg
from dagster_pipes import DAGSTER_PIPES_CONTEXT_ENV_VAR, PipesContext, open_dagster_pipes
from pyspark.sql import SparkSession

from fraud_domain.rules import RuleError, load_texts, read_texts
from fraud_domain.settings import MissingSecretError, Settings
from spark_jobs.plain_error import PlainError
from spark_jobs.published_rules import RuleSet, require_newest, texts_of
from spark_jobs.runtime import EXIT_FAILED, say

Job = Callable[[SparkSession, Settings, argparse.Namespace], None]
_USER_ERRORS = (PlainError, RuleError, MissingSecretError, FileNotFoundError, psycopg.OperationalError)


@dataclass(frozen=True, slots=True)
class Days:
    """A span of event dates, UTC; `end` is not part of it."""

    start: date
    end: date


def parse_day(text: str) -> date:
    """A date as `YYYY-MM-DD`.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a day such as 2026-11-24") from None


def main(name: str, parser: argparse.ArgumentParser, job: Job, arguments: Sequence[str] | None = None) -> int:
    """Run a batch job; 0 = done, 1 = failed with one line that says why."""
    chosen = parser.parse_args(arguments)
    with open_dagster_pipes() if DAGSTER_PIPES_CONTEXT_ENV_VAR in os.environ else nullcontext():
        return _run(name, job, chosen)


def report(**figures: int | float | str) -> None:
    """Tell the run of Dagster that started this job, if one did, what it has done; the table's page shows it."""
    if PipesContext.is_initialized():
        PipesContext.get().report_custom_message(figures)


def _run(name: str, job: Job, chosen: argparse.Namespace) -> int:
    spark = SparkSession.builder.appName(f"medallion-{name}").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    try:
        job(spark, Settings(), chosen)
    except _USER_ERRORS as error:
        say(f"{name}: {error}")
        return EXIT_FAILED
    finally:
        spark.stop()
    return 0


def rule_set(settings: Settings, version: str | None = None) -> RuleSet:
    """A published rule set: `version`, the newest one, or with `directory` the files of the rules directory.

    Raises:
        NoRuleSetError: it was not published.
    """
    if version == "directory":
        texts = read_texts(settings.rules.directory)
        return RuleSet(load_texts(texts).version, tuple(texts.items()))
    with psycopg.connect(**settings.postgres_parameters("fraud_reader")) as connection:
        wanted = version or require_newest(connection)[1]
        return RuleSet(wanted, tuple(texts_of(connection, wanted).items()))

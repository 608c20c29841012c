"""A database that is away delays new rules, never a batch that is already judged."""

from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from psycopg_pool import ConnectionPool
from pyspark.sql import SparkSession

from fraud_domain.micro_batch import Batch
from medallion_services.embedded.ports import LOOPBACK, free_ports
from spark_jobs.rule_sets import RuleBook

NO_SPARK = cast(SparkSession, None)


def book(tmp_path: Path, recorded: bool) -> RuleBook:
    (port,) = free_ports(1)
    pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
        kwargs={"host": LOOPBACK, "port": port, "connect_timeout": 2}, min_size=0, max_size=1, timeout=1.0, open=True
    )
    made = RuleBook(pool, "alerts.decide", tmp_path, [(0, "v1")])
    made._recorded = recorded
    return made


def test_a_judged_batch_does_not_wait_for_new_rules(tmp_path: Path) -> None:
    rules = book(tmp_path, recorded=True)
    rules.between_batches(NO_SPARK, Batch("alerts.decide", "g", 7))
    assert rules.plan == [(0, "v1")]
    rules.pool.close()


def test_what_judged_the_first_batch_must_be_recorded(tmp_path: Path) -> None:
    rules = book(tmp_path, recorded=False)
    with pytest.raises(psycopg.OperationalError):
        rules.between_batches(NO_SPARK, Batch("alerts.decide", "g", 0))
    rules.pool.close()

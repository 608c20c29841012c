"""The comparison of stream and batch names every difference, and fails only for those without a reason."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fraud_domain.settings import Settings
from medallion_assets.defs.history.reconcile import differences, reconciled
from medallion_assets.defs.quality.lake_sql import lake_sql
from medallion_assets.platform import Platform
from medallion_assets_tests.lake_rows import NOW, write

TODAY = NOW.date()
ROW: dict[str, Any] = {
    "customer_id": "c1",
    "subject_kind": "customer",
    "reasons": "[]",
    "shadow": "[]",
    "topic": "transactions",
    "event_time": NOW,
    "kafka_timestamp": NOW,
    "event_date": TODAY,
    "rule_set_version": "v1",
    "score": 10.0,
}


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(Settings(data_dir=tmp_path))


def decide(platform: Platform, name: str, transaction: str, **changes: Any) -> None:
    write(platform, f"gold.{name}", ROW | {"transaction_id": transaction} | changes)


def both(platform: Platform, transaction: str, again: dict[str, Any], **changes: Any) -> None:
    """A live decision, and one made again that differs by `again`."""
    decide(platform, "fraud_decisions", transaction, **changes)
    decide(platform, "recomputed_decisions", transaction, **(changes | again))


@pytest.fixture
def lake(platform: Platform) -> Iterator[duckdb.DuckDBPyConnection]:
    """One difference of each kind."""
    both(platform, "same", {})
    both(platform, "rules", {"score": 20.0, "rule_set_version": "v2"})
    both(platform, "partitions", {"score": 20.0}, subject_kind="merchant")
    both(platform, "note", {"score": 20.0}, customer_id="c2")
    late = {"customer_id": "c2", "event_time": NOW - timedelta(hours=1), "kafka_timestamp": NOW + timedelta(hours=1)}
    write(platform, "silver.account_events", late | {"event_id": "e"})
    decide(platform, "recomputed_decisions", "file", topic="history:a")
    both(platform, "loaded", {"score": 20.0}, customer_id="c3")
    both(platform, "seeded", {"score": 20.0}, customer_id="c4")
    for customer, moment in (("c3", NOW + timedelta(hours=1)), ("c4", NOW - timedelta(hours=1))):
        old = {"customer_id": customer, "topic": "history:a", "ingested_at": moment, "event_date": TODAY}
        write(platform, "silver.transactions", old | {"transaction_id": f"old {customer}"})
    both(platform, "bug", {"score": 20.0})
    decide(platform, "fraud_decisions", "ghost")
    decide(platform, "recomputed_decisions", "undecided")
    both(platform, "other day", {"score": 20.0}, event_date=TODAY - timedelta(days=1))
    with lake_sql(platform) as connection:
        yield connection


def test_each_difference_has_its_reason(lake: duckdb.DuckDBPyConnection) -> None:
    told = {each.why: each.examples for each in differences(lake, TODAY, NOW)}
    assert told == {
        "another rule set": ("rules",),
        "order of arrival between partitions": ("partitions",),
        "an account event came late": ("note",),
        "loaded from files: the stream never saw it": ("file",),
        "history was loaded after the alert lane began": ("loaded",),
        "unexplained: same input, other decision": ("bug", "seeded"),
        "unexplained: not in silver": ("ghost",),
        "unexplained: no live decision": ("undecided",),
    }


def test_only_what_is_unexplained_fails_and_it_is_named(lake: duckdb.DuckDBPyConnection) -> None:
    finding = reconciled(lake, TODAY, NOW)
    assert not finding.passed
    assert "2 unexplained: same input, other decision, such as bug, seeded" in finding.text
    assert "rules" not in finding.text.split("such as")[1]
    assert finding.figures["another rule set"] == 1


def test_explained_differences_pass(platform: Platform) -> None:
    both(platform, "rules", {"score": 20.0, "rule_set_version": "v2"})
    with lake_sql(platform) as connection:
        finding = reconciled(connection, TODAY, NOW)
    assert finding.passed
    assert finding.text.endswith("1 decisions made again: 1 another rule set")

"""Each check goes red on a real violation, and says what and where; on a sound lake all are green."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from fraud_domain.settings import Settings
from fraud_domain.tables import location, table
from medallion_assets.defs.quality.invariants import INVARIANTS
from medallion_assets.defs.quality.lake_sql import lake_sql
from medallion_assets.defs.quality.table_checks import LAKE_CHECKS, schema_matches
from medallion_assets.defs.quality.view import View
from medallion_assets.platform import Platform
from medallion_assets_tests.lake_rows import write


def message(transaction_id: str) -> bytes:
    return f'{{"transaction_id": "{transaction_id}"}}'.encode()


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """A small sound lake: three messages, of which one is good, one is broken and one repeats the first."""
    made = Platform(Settings(data_dir=tmp_path))
    bronze = [(0, message("t1")), (1, b"broken"), (2, message("t1"))]
    write(made, "bronze.transactions", *({"offset": o, "value": v, "topic": "transactions"} for o, v in bronze))
    write(made, "silver.transactions", {"transaction_id": "t1", "offset": 0, "topic": "transactions"})
    write(made, "silver.quarantine", {"offset": 1, "topic": "transactions", "reason_code": "NOT_JSON"})
    write(made, "gold.fraud_decisions", {"transaction_id": "t1", "subject_kind": "customer"})
    write(made, "gold.transaction_metrics_hour", {"dimension": "all", "transactions": 1})
    return made


def lake_check(name: str, spec_name: str) -> Callable[[Platform], Any]:
    def run(platform: Platform) -> Any:
        with lake_sql(platform) as lake:
            return LAKE_CHECKS[name](lake, table(spec_name))

    return run


def invariant(spec_name: str, name: str) -> Callable[[Platform], Any]:
    def run(platform: Platform) -> Any:
        with lake_sql(platform) as lake:
            later = datetime(2027, 1, 1, tzinfo=UTC)
            return INVARIANTS[spec_name][name](View(platform, lake, cast(Any, None), later))

    return run


Violation = Callable[[Platform], None]
CASES: dict[str, tuple[Callable[[Platform], Any], Violation, str]] = {
    "key": (
        lake_check("key_is_unique", "silver.transactions"),
        lambda p: write(p, "silver.transactions", {"transaction_id": "t1", "offset": 9}),
        "t1",
    ),
    "null": (
        lake_check("required_columns_filled", "silver.transactions"),
        lambda p: write(p, "silver.transactions", {"transaction_id": "t9", "customer_id": None}),
        "customer_id",
    ),
    "card number in a text": (
        lake_check("no_card_numbers", "silver.transactions"),
        lambda p: write(
            p, "silver.transactions", {"transaction_id": "t9", "merchant_name": "pay 4111111111111111 now"}
        ),
        "merchant_name",
    ),
    "card number in a payload": (
        lake_check("no_card_numbers", "bronze.transactions"),
        lambda p: write(p, "bronze.transactions", {"offset": 3, "value": b'{"card": "5500005555555559"}'}),
        "value",
    ),
    "gap": (
        invariant("bronze.transactions", "offsets_contiguous"),
        lambda p: write(p, "bronze.transactions", {"offset": 5, "topic": "transactions"}),
        "transactions/0: offsets 0..5 should be 6 rows, found 4",
    ),
    "offset twice": (
        invariant("bronze.transactions", "offsets_contiguous"),
        lambda p: write(p, "bronze.transactions", {"offset": 2, "topic": "transactions"}),
        "found 4 (3 distinct)",
    ),
    "lost row": (
        invariant("silver.transactions", "nothing_lost"),
        lambda p: write(p, "bronze.transactions", {"offset": 3, "topic": "transactions", "value": message("t2")}),
        "1 rows of bronze.transactions are nowhere",
    ),
    "undecided": (
        invariant("gold.fraud_decisions", "every_transaction_decided"),
        lambda p: write(p, "silver.transactions", {"transaction_id": "t7", "offset": 7}),
        "t7",
    ),
    "windows hold too little": (
        invariant("gold.transaction_metrics_hour", "add_up"),
        lambda p: write(p, "silver.transactions", {"transaction_id": "t8", "offset": 8}),
        "windows hold 1 transactions, silver 2",
    ),
    "too much quarantine": (
        invariant("silver.quarantine", "share_within_limit"),
        lambda p: None,
        "NOT_JSON",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_violation_turns_the_check_red(platform: Platform, case: str) -> None:
    check, violate, told = CASES[case]
    if case != "too much quarantine":
        assert check(platform).passed, "the sound lake passes"
    violate(platform)
    finding = check(platform)
    assert not finding.passed
    assert told in finding.text


def test_foreign_column_and_wrong_type_are_named(platform: Platform) -> None:
    spec = table("gold.rule_metrics_daily")
    wrong = pa.table({"event_date": ["today"], "surprise": [1]})
    write_deltalake(location(platform.settings.lake_root, spec), wrong)
    finding = schema_matches(platform.delta(spec), spec)
    assert not finding.passed
    assert "surprise" in finding.text
    assert "string instead of date" in finding.text


def test_a_card_number_is_never_repeated_in_a_finding(platform: Platform) -> None:
    write(platform, "silver.transactions", {"transaction_id": "t9", "merchant_name": "4111111111111111"})
    assert "4111" not in lake_check("no_card_numbers", "silver.transactions")(platform).text

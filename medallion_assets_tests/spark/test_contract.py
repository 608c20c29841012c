"""The contract on the real engine: every row of the poison table is named, every good row is typed exactly."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from fraud_domain.acceptance import Acceptance
from fraud_domain.contract import Transaction
from fraud_domain.moments import epoch_micros
from fraud_domain.tables import table
from medallion_assets_tests.poison import ARRIVED, POISON, SOME_CARD, message, odd_messages
from spark_jobs.contract import TimeLimits, parse_transactions
from spark_jobs.masking import has_card_number, mask_card_numbers
from spark_jobs.schemas import table_schema
from spark_jobs.streaming_bronze import raw_rows, raw_table
from spark_jobs.streaming_silver import REFUSED, marked, without_sound_messages

LIMITS = TimeLimits("10 minutes", "5 minutes")


def bronze(spark: SparkSession, *values: bytes | None) -> DataFrame:
    rows = [
        ("transactions", 0, offset, ARRIVED, None, value, False, ARRIVED, ARRIVED.date())
        for offset, value in enumerate(values)
    ]
    frame = spark.createDataFrame(rows, table_schema(table("bronze.transactions")))
    return frame.withColumns({"card_masked": has_card_number(frame.value), "value": mask_card_numbers(frame.value)})


def judge(spark: SparkSession, *values: bytes | None) -> list[Row]:
    return parse_transactions(bronze(spark, *values), LIMITS).orderBy("offset").collect()


@pytest.fixture(scope="module")
def judged(spark: SparkSession) -> dict[str, Row]:
    return dict(zip(POISON, judge(spark, *(value for value, _, _ in POISON.values())), strict=True))


@pytest.mark.parametrize("case", POISON)
def test_poison_is_named(judged: dict[str, Row], case: str) -> None:
    _, code, field = POISON[case]
    errors = judged[case].errors
    assert errors, f"{case} was accepted"
    assert (errors[0].code, errors[0].field) == (code, field)


def test_good_row_is_typed_exactly(spark: SparkSession) -> None:
    (row,) = judge(spark, message(latitude=-23.55, auth_3ds=True, installments=3))
    assert row.errors is None
    assert row.amount == Decimal("812.4000")
    assert row.event_time.astimezone(UTC) == datetime(2026, 11, 24, 11, 59, 59, 123456, tzinfo=UTC)
    assert (row.latitude, row.auth_3ds, row.installments, row.event_date) == (-23.55, True, 3, date(2026, 11, 24))
    assert row.is_late is False


@pytest.mark.parametrize(
    ("amount", "stored"),
    [(b"-12.5", "-12.5000"), (b"0", "0.0000"), (b'"9.99"', "9.9900"), (b"99999999999999.9999", "99999999999999.9999")],
)
def test_money_keeps_every_digit(spark: SparkSession, amount: bytes, stored: str) -> None:
    (row,) = judge(spark, message().replace(b"812.4", amount))
    assert row.errors is None
    assert row.amount == Decimal(stored)


@pytest.mark.parametrize("time", ["2026-11-24T11:00:00Z", "2026-11-24T08:00:00-03:00", 1795518000000, "1795518000000"])
def test_time_forms_mean_the_same_instant_and_late_is_marked(spark: SparkSession, time: Any) -> None:
    (row,) = judge(spark, message(event_time=time))
    assert row.errors is None
    assert row.event_time.astimezone(UTC) == datetime(2026, 11, 24, 11, 0, tzinfo=UTC)
    assert row.is_late is True


def test_every_reason_is_listed_not_only_the_first(spark: SparkSession) -> None:
    (row,) = judge(spark, message(amount="x", currency="br", customer_id=None))
    assert [(e.code, e.field) for e in row.errors] == [
        ("MISSING_FIELD", "customer_id"),
        ("BAD_AMOUNT", "amount"),
        ("BAD_TEXT", "currency"),
    ]


def test_masking_changes_nothing_but_the_card_number(spark: SparkSession) -> None:
    kept = b'{"a": "\xff 1795518000000 1234567890123456"}'
    rows = bronze(spark, message(card_number=SOME_CARD), kept).orderBy("offset").collect()
    assert bytes(rows[0].value) == message(card_number="************1111")
    assert (bytes(rows[1].value), rows[1].card_masked) == (kept, False)


def test_bronze_is_the_same_with_and_without_spark(spark: SparkSession) -> None:
    card = SOME_CARD.encode()
    cards = [b"\xff %s \xc3\xa9 %s" % (card, card), b"x%s" % card, b"%s,4222222222222" % card, b"", None]
    values = [*cards, message(card_number=SOME_CARD), *(value for value, _, _ in POISON.values()), *odd_messages(300)]
    rows = [("transactions", 0, offset, ARRIVED, b"k", value) for offset, value in enumerate(values)]
    schema = "topic string, partition int, offset bigint, kafka_timestamp timestamp, key binary, value binary"
    messages = spark.createDataFrame(rows, schema)
    compared = ("topic", "partition", "offset", "kafka_timestamp", "key", "value", "card_masked")
    by_spark = raw_rows(messages).select(*compared).toArrow().sort_by("offset").to_pylist()
    in_process = raw_table(messages.toArrow()).select(compared).sort_by("offset").to_pylist()
    assert in_process == by_spark
    assert [row["card_masked"] for row in by_spark[:6]] == [True, False, True, False, False, True]
    assert by_spark[0]["value"] == b"\xff ************1111 \xc3\xa9 ************1111"
    written = raw_table(messages.toArrow())["ingested_at"].unique()
    assert abs(written[0].as_py() - datetime.now(UTC)) < timedelta(minutes=1)


def test_the_lanes_give_the_same_answer(spark: SparkSession) -> None:
    """Spark's contract (lake) and Python's (alerts) accept the same messages and read the same values."""
    acceptance = Acceptance(300_000_000)
    arrived = int(ARRIVED.timestamp() * 1_000_000)
    values = [*(value for value, _, _ in POISON.values()), *odd_messages(1500)]
    accepted = 0
    for value, row in zip(values, judge(spark, *values), strict=True):
        event = acceptance.accept(value or b"", arrived)
        assert (event is None) == (row.errors is not None), f"{value!r}: python {event}, spark {row.errors}"
        if event is None:
            continue
        accepted += 1
        for name, mine in event.items():
            theirs = row[name]
            if name == "event_time":
                theirs = epoch_micros(theirs.astimezone(UTC))
            assert mine == theirs, f"{name} of {value!r}: python {mine!r}, spark {theirs!r}"
    assert 200 < accepted < 1400


def test_spark_and_pydantic_accept_the_same_fields(spark: SparkSession) -> None:
    names = set(parse_transactions(bronze(spark, message()), LIMITS).columns)
    assert set(Transaction.model_fields) <= names


def test_only_a_refused_message_is_carried_on(spark: SparkSession) -> None:
    refused = message(amount="much")
    rows = without_sound_messages(parse_transactions(bronze(spark, message(), refused), LIMITS)).orderBy("offset")
    good, bad = rows.collect()
    assert (good.value, good.errors, good.amount) == (None, None, Decimal("812.4000"))
    assert bytes(bad.value) == refused
    (kept,) = marked(rows).where(REFUSED).collect()
    assert (bytes(kept.value), kept.reason_code) == (refused, "BAD_AMOUNT")

"""The event contract on the producer's side: pydantic models and the JSON Schemas derived from them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from fraud_domain.contract import (
    EDGE_ONLY_FIELDS,
    LEAKAGE_FIELDS,
    REFUSED_FIELDS,
    Event,
    FraudLabel,
    Transaction,
    field_specs,
    json_schema,
)
from fraud_domain.schemas import DIRECTORY, schema_files

GOOD: dict[str, Any] = {
    "transaction_id": "t1",
    "event_time": "2026-03-04T11:59:59.123456-03:00",
    "customer_id": "c1",
    "amount": 812.40,
    "currency": "BRL",
    "type": "CREDIT_CARD",
    "channel": "POS",
    "status": "APPROVED",
}
LABEL = {"transaction_id": "t1", "label": "fraud", "source": "chargeback", "label_time": "2026-03-05T00:00:00Z"}
MODELS: list[tuple[type[Event], dict[str, Any]]] = [(Transaction, GOOD), (FraudLabel, LABEL)]
TRANSACTION_SCHEMA = Draft202012Validator(json_schema(Transaction))


@pytest.mark.parametrize(
    ("model", "name"), [(model, name) for model, good in MODELS for name in good], ids=lambda value: str(value)
)
def test_every_required_field_is_required(model: type[Event], name: str) -> None:
    good = dict(MODELS)[model]
    assert {spec.name for spec in field_specs(model) if spec.required} == set(good)
    model.model_validate(good)
    with pytest.raises(ValidationError) as caught:
        model.model_validate({key: value for key, value in good.items() if key != name})
    assert [each["loc"] for each in caught.value.errors()] == [(name,)]


@pytest.mark.parametrize(
    "written",
    [
        "2026-03-04T12:00:00.250Z",
        "2026-03-04T09:00:00.250-03:00",
        "2026-03-04 12:00:00.25+00:00",
        1_772_625_600_250,
        "1772625600250",
    ],
)
def test_iso_with_offset_and_epoch_milliseconds_mean_the_same(written: object) -> None:
    event = Transaction.model_validate(GOOD | {"event_time": written})
    assert event.event_time == datetime(2026, 3, 4, 12, 0, 0, 250_000, UTC)


@pytest.mark.parametrize(
    "written",
    [
        *("2026-03-04T12:00:00", "2026-03-04", "yesterday", "", None, True),
        *(1772625600.25, "1772625600.25", "1.7e9", 10**30, "9" * 30, -(10**17), float("nan")),
    ],
)
def test_local_and_nonsensical_times_are_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        Transaction.model_validate(GOOD | {"event_time": written})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", "a lot"),
        ("amount", "1.00001"),
        ("amount", 10**15),
        ("currency", "reais"),
        ("type", "CHEQUE"),
        ("channel", "pos"),
        ("status", ""),
        ("transaction_id", ""),
        ("customer_id", "c" * 129),
        ("latitude", 90.1),
        ("longitude", -180.1),
        ("mcc", "54"),
        ("merchant_country", "BRA"),
        ("card_last4", "12345"),
        ("installments", 0),
        ("schema_version", 0),
    ],
)
def test_wrong_values_are_refused_here_and_by_the_json_schema(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Transaction.model_validate(GOOD | {field: value})
    numbers_only_python_bounds = field == "amount" and not isinstance(value, str)
    assert numbers_only_python_bounds or not TRANSACTION_SCHEMA.is_valid(GOOD | {field: value})


def test_money_is_exact_and_refunds_are_negative() -> None:
    for written in ("-812.4000", -812.4):
        amount = Transaction.model_validate(GOOD | {"amount": written}).amount
        assert isinstance(amount, Decimal)
        assert amount == Decimal("-812.4")


def test_unknown_fields_are_ignored_so_that_producers_can_move_first() -> None:
    assert not hasattr(Transaction.model_validate(GOOD | {"new_field": 1}), "new_field")
    assert TRANSACTION_SCHEMA.is_valid(GOOD | {"new_field": 1})


@pytest.mark.parametrize("name", sorted(EDGE_ONLY_FIELDS | REFUSED_FIELDS | LEAKAGE_FIELDS))
def test_secrets_and_labels_have_no_place_in_a_transaction(name: str) -> None:
    assert name not in Transaction.model_fields
    assert not TRANSACTION_SCHEMA.is_valid(GOOD | {name: "x"})


@pytest.mark.parametrize(("model", "good"), MODELS)
def test_json_schema_is_valid_and_agrees_on_a_good_event(model: type[Event], good: dict[str, Any]) -> None:
    schema = json_schema(model)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert validator.is_valid(good)
    assert validator.is_valid(good | {"event_time": 1_772_625_600_250, "label_time": 1_772_625_600_250})
    for name in good:
        assert not validator.is_valid({key: value for key, value in good.items() if key != name})


def test_json_schema_files_are_in_step() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.schema.json")}
    assert written == schema_files(), "run: python -m fraud_domain.schemas"


@pytest.mark.parametrize("model", [Transaction, FraudLabel])
def test_every_field_is_described(model: type[Event]) -> None:
    assert [spec.name for spec in field_specs(model) if not spec.description] == []


def test_field_specs_carry_what_engines_need() -> None:
    specs = {spec.name: spec for spec in field_specs(Transaction)}
    assert specs["amount"].kind == "decimal"
    assert specs["event_time"].kind == "timestamp"
    assert specs["auth_3ds"].kind == "boolean"
    assert specs["status"].values == ("APPROVED", "DECLINED", "PENDING", "REVERSED")
    assert (specs["latitude"].minimum, specs["latitude"].maximum) == (-90, 90)
    assert (specs["mcc"].pattern, specs["customer_id"].max_length) == ("^[0-9]{4}$", 128)

"""The bounded history of a customer: what leaves, what stays, and what survives a change of catalogue."""

import random
from decimal import Decimal
from typing import Any

import orjson
import pytest

from fraud_domain.rules import Engine, History, HistoryFormatError, Origin, Subject, load_catalogue
from fraud_domain.settings import RuleSettings

DAY = 86_400_000_000
START = 1_767_225_600_000_000
CATALOGUE = load_catalogue(RuleSettings().directory)


def event(number: int, day: float = 0, **fields: Any) -> dict[str, Any]:
    return {
        "transaction_id": f"t-{number}", "customer_id": "c-1", "event_time": START + int(day * DAY),
        "amount": Decimal("10.5"), "currency": "BRL", "type": "PIX", "channel": "MOBILE_APP", "status": "APPROVED",
    } | fields  # fmt: skip


def engine(**settings: Any) -> Engine:
    return Engine(CATALOGUE, RuleSettings(**settings))


def ids(history: History) -> list[str]:
    return [row[1] for row in history.rows]


def test_events_leave_by_age_of_the_newest() -> None:
    judge = engine(history_days=10)
    history = judge.new_history()
    for number, day in enumerate([0, 5, 10, 10.5]):
        judge.decide(history, event(number, day))
    assert ids(history) == ["t-1", "t-2", "t-3"]
    assert history.ids == {"t-1", "t-2", "t-3"}


def test_oldest_events_leave_when_there_are_too_many() -> None:
    judge = engine(history_limit=2)
    history = judge.new_history()
    for number in (2, 0, 1):
        judge.decide(history, event(number, number, card_token="card-1"))
    assert ids(history) == ["t-1", "t-2"]
    assert [row[1] for row in history.card("card-1")[1]] == ["t-1", "t-2"]


def test_newest_event_of_a_card_outlives_its_age() -> None:
    judge = engine(history_days=10)
    history = judge.new_history()
    for number, day in enumerate([0, 1]):
        judge.decide(history, event(number, day, card_token="card-1"))
    for number, day in enumerate([30, 60], 2):
        judge.decide(history, event(number, day, card_token="card-2"))
    assert ids(history) == ["t-1", "t-3"]


def test_dormant_card_is_seen_though_the_customer_went_on() -> None:
    judge = engine()
    history = judge.new_history()
    judge.decide(history, event(0, card_token="card-1"))
    for number in range(1, 12):
        judge.decide(history, event(number, number * 10))
    decision = judge.decide(history, event(99, 120, card_token="card-1", amount=Decimal(500)))
    assert decision is not None
    assert decision.typology == "dormant_account"


@pytest.mark.parametrize("days", [5, 60])
def test_lists_of_passing_events_follow_what_comes_and_goes(days: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(days)
    judge = Engine(CATALOGUE, RuleSettings(history_limit=60), Subject.MERCHANT)
    times = [rng.uniform(0, days) if rng.random() < 0.3 else number / 300 * days for number in range(300)]
    varied: dict[str, list[Any]] = {
        "status": ["APPROVED", "DECLINED"],
        "amount": [Decimal(-5), Decimal("0.5"), Decimal(1), Decimal(20)],
    }
    arrivals = [
        event(number, day, merchant_id="m-1", card_token=f"card-{number % 9}")
        | {name: rng.choice(values) for name, values in varied.items()}
        for number, day in enumerate(times)
    ]
    history, decisions = judge.new_history(), []
    for each in arrivals:
        decisions.append(judge.decide(history, each))
        for test, (kept_times, kept_rows) in (history.kept or {}).items():
            assert kept_rows == [row for row in history.rows if test(row)]
            assert kept_times == [row[0] for row in kept_rows]
    assert history.kept, "it has more than enough events"
    assert len(history) <= 60

    monkeypatch.setattr("fraud_domain.rules.history.KEPT_FROM", 1_000)
    scanned = judge.new_history()
    assert decisions == [judge.decide(scanned, each) for each in arrivals]
    assert not scanned.kept


def test_lists_of_passing_events_are_made_anew_for_another_engine() -> None:
    judge, other = (Engine(CATALOGUE, RuleSettings(), Subject.MERCHANT) for _ in range(2))
    history = judge.new_history()
    for number in range(50):
        judge.decide(history, event(number, number / 100, merchant_id="m-1"))
    kept = set(history.kept or ())
    other.decide(history, event(50, 0.6, merchant_id="m-1"))
    assert kept
    assert not kept & set(history.kept or ())


def test_history_stored_under_another_catalogue_is_still_good() -> None:
    judge = engine()
    history = judge.new_history()
    judge.decide(history, event(0, merchant_id="m-1"))
    content = orjson.loads(history.dump())
    position = content["f"].index("merchant_id")
    del content["f"][position]
    content["f"].append("added_later")
    for row in content["r"]:
        del row[position]
        row.append("x")
    restored = History.load(orjson.dumps(content))
    assert judge.decide(restored, event(0)) is None
    assert judge.decide(restored, event(1, 1, merchant_id="m-1")) is not None
    assert restored.fields == judge.fields
    assert [row[judge.fields.index("merchant_id")] for row in restored.rows] == [None, "m-1"]


def test_amounts_are_stored_exactly() -> None:
    judge = engine()
    history = judge.new_history()
    judge.decide(history, event(0, amount=Decimal("12345678901234.5678")))
    assert History.load(history.dump()).rows == history.rows


@pytest.mark.parametrize("blob", [b"", b"[]", b'{"v": 2, "f": [], "r": []}', b'{"v": 1, "f": ["amount"], "r": []}'])
def test_foreign_bytes_are_refused(blob: bytes) -> None:
    with pytest.raises(HistoryFormatError):
        History.load(blob)


def test_missing_required_field_is_an_error_and_leaves_no_trace() -> None:
    judge = engine()
    history = judge.new_history()
    broken = event(0)
    del broken["amount"]
    with pytest.raises(KeyError):
        judge.decide(history, broken)
    assert len(history) == 0


def test_history_keeps_fields_that_later_events_are_asked_for_and_no_others() -> None:
    judge = engine()
    history = judge.new_history()
    for number in range(2):
        judge.decide(history, event(number, number, card_token="card-1"))
    assert len(judge.program.layout.names) > len(judge.fields), "some fields are asked of the judged event only"
    assert {len(row) for row in history.rows} == {len(judge.fields)}


@pytest.mark.parametrize(
    ("subject", "origins"),
    [
        (Subject.CUSTOMER, (Origin.TRANSACTIONS, Origin.ACCOUNT_EVENTS)),
        (Subject.TERMINAL, (Origin.TRANSACTIONS, Origin.LABELS)),
        (Subject.IP, (Origin.TRANSACTIONS,)),
    ],
)
def test_an_engine_names_the_topics_its_subject_needs(subject: Subject, origins: tuple[Origin, ...]) -> None:
    assert Engine(CATALOGUE, RuleSettings(), subject).origins == origins

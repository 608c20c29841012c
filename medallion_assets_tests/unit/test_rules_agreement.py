"""The engine decides as the slow reference evaluator does, on the shipped catalogue and on a laboratory one.

The laboratory rules use every aggregate, operator and way to be missing, with windows short enough that random
histories reach their edges; the shipped rules are what analysts get.
"""

import os
import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fraud_domain.rules import (
    Catalogue,
    Decision,
    Engine,
    History,
    Key,
    Origin,
    Status,
    Strength,
    Subject,
    alert_id,
    load_catalogue,
    load_texts,
)
from fraud_domain.rules.history import KEPT_FROM, PERIOD_LIMIT
from fraud_domain.settings import RuleSettings
from medallion_assets_tests.reference_evaluator import ReferenceEvaluator

Event = dict[str, Any]
MINUTE = 60_000_000
START = 1_767_225_600_000_000
UNBOUNDED = RuleSettings(history_days=4_000, history_limit=10_000)

LABORATORY = """
typology: {id: laboratory, title: Lab, combine: %(combine)s, owner: t, description: d}
rules:
%(rules)s
"""
RULE = """
  - id: LAB-%(id)d
    version: 1
    title: Lab
    status: %(status)s
    key: %(key)s
    window: %(window)s
    %(extra)s
    condition: %(condition)s
    observed: %(observed)s
    threshold: 1
    weight: %(weight)d
    strength: %(strength)s
    reason: "%(reason)s"
    owner: t
    fixtures: {positive: [{name: p, event: {}}], near_miss: [{name: n, event: {}}]}
"""
FEATURES = [
    ("{aggregate: count}", "f > 1"),
    ("{aggregate: count, field: device_id, include_current: true}", "f != 2"),
    ("{aggregate: count, where: merchant_id != current.merchant_id}", "f >= 1"),
    ("{aggregate: count, where: 'merchant_id not in [\"m-1\"]'}", "f >= 1"),
    ("{aggregate: count, where: pix_key == current.device_id or device_id == current.device_id}", "f >= 1"),
    ("{aggregate: count, where: not (local_hour > current.local_hour)}", "f >= 2"),
    ("{aggregate: count, where: auth_3ds, include_current: true}", "f == 1"),
    ("{aggregate: count, where: amount > p * current.amount, window: 2m}", "f >= 1"),
    ("{aggregate: count, where: (home_distance_km > 10) == card_present}", "f >= 1"),
    ("{aggregate: count, where: auth_3ds == current.auth_3ds}", "f >= 1"),
    ("{aggregate: sum, field: amount, where: amount > 0}", "f > 50 and f / amount > 1.5"),
    ("{aggregate: sum, field: installments, include_current: true}", "f % 3 == 1"),
    ("{aggregate: avg, field: amount}", "amount > f * p or f is None"),
    ("{aggregate: stddev, field: amount, include_current: true}", "abs(amount - 10) <= f"),
    ("{aggregate: min, field: amount}", "min(f, amount) < 2"),
    ("{aggregate: max, field: event_time}", "event_time - f >= q"),
    ("{aggregate: max, field: home_distance_km}", "home_distance_km > f"),
    ("{aggregate: distinct, field: amount}", "2 <= f < 4"),
    ("{aggregate: distinct, field: merchant_id, include_current: true}", "f > 2"),
    ("{aggregate: last, field: mcc}", 'f == mcc or f == "5411"'),
    ("{aggregate: last, field: auth_3ds}", "f != auth_3ds"),
    ("{aggregate: last, field: status, where: amount != 0}", 'f in ["DECLINED", "REVERSED"]'),
    ("{aggregate: time_since, where: card_present}", "f < 2 * q or not (f > q)"),
    ("{aggregate: time_since}", "f / q > 0.5"),
    ("{aggregate: distance, where: card_present}", "f > 100"),
    ("{aggregate: speed}", "f > 900"),
    ('{aggregate: share, when: status == "DECLINED"}', "f > 0.3"),
    ("{aggregate: share, where: amount > 0, when: amount >= current.amount, include_current: true}", "0.2 < f < 0.9"),
    ("{aggregate: sequence, field: amount, include_current: true}", "f >= 2"),
    ("{aggregate: sequence, field: home_distance_km}", "f != 1"),
    ('{aggregate: count, of: labels, where: label == "fraud" and transaction_id != current.transaction_id}', "f >= 1"),
    ("{aggregate: time_since, of: labels}", "f < 10 * q"),
    ("{aggregate: last, of: account_events, field: action, where: device_id == current.device_id}", 'f == "LOGIN"'),
    ("{aggregate: distinct, of: account_events, field: ip_country}", "f > 1"),
    ("{aggregate: max, of: account_events, field: event_time}", "event_time - f < 5 * q"),
    ('{aggregate: share, where: amount > 0, when: status == "DECLINED", include_current: true}', "f > 0.3"),
    ("{aggregate: sum, field: amount}", "(f if amount > 1 else -amount) > max(w[type], 3)"),
]


def _rule(number: int, feature: str, condition: str, key: Key | None) -> str:
    extra = [f"features: {{f: {feature}}}"]
    used = [("p", "1.5"), ("q", "90s"), ("w", "{PIX: 5, CREDIT_CARD: 20.5}")]
    words = "".join(c if c.isalnum() else " " for c in feature + condition).split()
    chosen = [f"{name}: {value}" for name, value in used if name in words]
    if chosen:
        extra.append("parameters: {" + ", ".join(chosen) + "}")
    if number % 3 == 0:
        extra.append("min_history: 2")
    if number % 6 == 0:
        extra.append('history_where: status == "APPROVED"')
    if number % 5 == 0:
        extra.append("applies: amount >= 0 and channel != 'ATM'")
    place = {
        "id": number,
        "status": "shadow" if number % 7 == 0 else "active",
        "key": key or ("card" if number % 2 else "customer"),
        "window": ("3m", "10m", "1h", "30d")[number % 4],
        "extra": "\n    ".join(extra),
        "condition": "'" + condition.replace("'", "''") + "'",
        "observed": "f",
        "weight": number * 7 % 45,
        "strength": "weak" if number % 4 == 0 else "strong",
        "reason": "{f} after {n} in {window}, {amount:money} {device_id}",
    }
    if "event_time," in condition or "event_time}" in feature:
        place |= {"observed": "event_time - f", "reason": "{event_time - f:duration} after {n}"}
    return RULE % place


def laboratory(combine: str, key: Key | None = None) -> Catalogue:
    """A catalogue of one rule per entry of FEATURES, about customers and cards in turn or all about `key`."""
    rules = "".join(_rule(number, *each, key) for number, each in enumerate(FEATURES, 1))
    return load_texts({"lab.yaml": LABORATORY % {"combine": combine, "rules": rules}})


SHIPPED = load_catalogue(RuleSettings().directory)
CATALOGUES = {"shipped": SHIPPED, "noisy_or": laboratory("noisy_or"), "capped_sum": laboratory("capped_sum")}
ENGINES = {name: Engine(catalogue, UNBOUNDED) for name, catalogue in CATALOGUES.items()}
ORACLES = {name: ReferenceEvaluator(catalogue, UNBOUNDED) for name, catalogue in CATALOGUES.items()}

AMOUNTS = [
    Decimal(text)
    for text in (
        "-100", "-9.99", "0", "0.0001", "1", "2.50", "10", "33.33", "100", "100.00", "250.01", "600", "1999.9999",
        "9500",
    )
]  # fmt: skip
GAPS = [0, 0, 0, 1, 1, 2, 3, 9, 10, 11, 59, 60, 300, 1_440, 1_441, 7 * 1_440, 30 * 1_440, 95 * 1_440]
OPTIONAL: dict[str, list[Any]] = {
    "card_token": ["card-1", "card-2"],
    "entry_mode": ["CHIP", "MAGSTRIPE", "ECOMMERCE"],
    "merchant_id": ["m-1", "m-2", "m-3", "m-4", "m-5"],
    "mcc": ["5411", "5944", "4111"],
    "merchant_country": ["BR", "US"],
    "home_country": ["BR", "US"],
    "device_id": ["d-1", "d-2", "demo-emulator-2"],
    "ip_address": ["198.51.100.7", "192.0.2.66"],
    "pix_key": ["k-1", "k-2", "d-1", "demo-mule-key"],
    "latitude": [-23.55, -3.12, 90.0],
    "longitude": [-46.63, 180.0],
    "billing_latitude": [-23.5, 40.0],
    "billing_longitude": [-46.6, 0.0],
    "shipping_latitude": [-23.5, -8.0],
    "shipping_longitude": [-46.6, -34.9],
    "billing_country": ["BR", "US"],
    "shipping_country": ["BR", "US"],
    "customer_timezone": ["America/Sao_Paulo", "Asia/Kathmandu", "Europe/Lisbon"],
    "cvv_result": ["MATCH", "NO_MATCH"],
    "pin_result": ["MATCH", "NO_MATCH"],
    "auth_3ds": [True, False],
    "installments": [1, 2, 3],
}
REQUIRED: dict[str, list[Any]] = {
    "amount": AMOUNTS,
    "currency": ["BRL", "BRL", "BRL", "USD"],
    "status": ["APPROVED", "APPROVED", "DECLINED", "REVERSED"],
    "type": ["CREDIT_CARD", "CREDIT_CARD", "PIX", "DEPOSIT"],
    "channel": ["POS", "ECOMMERCE", "MOBILE_APP", "ATM"],
}
minutes = st.sampled_from(GAPS)
fields = st.fixed_dictionaries(
    {name: st.sampled_from(values) for name, values in REQUIRED.items()},
    optional={name: st.sampled_from([None, *values]) for name, values in OPTIONAL.items()},
)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events of one customer in event order; many share an instant, ids do not follow the time."""
    gaps = draw(st.lists(st.tuples(minutes, fields), min_size=1, max_size=14))
    ids = draw(st.permutations(range(len(gaps))))
    moment, events = START, []
    for (gap, event), number in zip(gaps, ids, strict=True):
        moment += gap * MINUTE
        events.append({**event, "transaction_id": f"t-{number:02d}", "customer_id": "customer-1", "event_time": moment})
    return events


NOTES: dict[Origin, dict[str, list[Any]]] = {
    Origin.LABELS: {
        "transaction_id": ["t-00", "t-01", "l-1"],
        "label": ["fraud", "fraud", "legit"],
        "source": ["chargeback", "analyst"],
        "fraud_type": [None, "stolen_card"],
    },
    Origin.ACCOUNT_EVENTS: {
        "event_id": ["a-1", "a-2", "a-3", "a-4"],
        "action": ["LOGIN", "DEVICE_ADDED", "PASSWORD_CHANGED"],
        "device_id": [None, "d-1", "d-2"],
        "ip_address": [None, "198.51.100.7"],
        "ip_country": [None, "BR", "US"],
    },
}
SUBJECTS: dict[Subject, list[Any]] = {
    Subject.CUSTOMER: ["customer-1"],
    Subject.DEVICE: ["d-1"],
    Subject.MERCHANT: ["m-1"],
    Subject.TERMINAL: ["term-1"],
    Subject.IP: ["198.51.100.7"],
}
Arrival = tuple[Origin, Event]


def random_arrivals(rng: random.Random, subject: Subject) -> list[Arrival]:
    """Transactions of one subject with labels and account events between them, not always in order of time."""
    arrivals: list[Arrival] = []
    for event in random_history(rng):
        if subject is not Subject.CUSTOMER:
            event = event | {subject.field: SUBJECTS[subject][0], "customer_id": rng.choice(["c-1", "c-2", "c-3"])}
        arrivals.append((Origin.TRANSACTIONS, event))
        for origin, values in NOTES.items():
            if rng.random() < 0.4:
                note = {name: rng.choice(each) for name, each in values.items()}
                shift = rng.choice([-3, -1, 0, 0, 1, 3]) * MINUTE
                arrivals.append((origin, note | {"event_time": event["event_time"] + shift}))
    if rng.random() < 0.5:
        rng.shuffle(arrivals)
    return arrivals


def engine_on_arrivals(engine: Engine, arrivals: list[Arrival], interrupt: int) -> list[Decision | None]:
    """The engine's decisions; the history is stored and read back before arrival `interrupt`."""
    history, decisions = engine.new_history(), []
    for index, (origin, event) in enumerate(arrivals):
        if index == interrupt:
            history = History.load(history.dump())
        if origin is Origin.TRANSACTIONS:
            decisions.append(engine.decide(history, event))
        else:
            engine.note(history, origin, event)
    return decisions


def oracle_on_arrivals(oracle: ReferenceEvaluator, arrivals: list[Arrival]) -> list[Decision | None]:
    """The reference evaluator's decisions."""
    arrived: list[Event] = []
    notes: dict[str, list[Event]] = {}
    raised: list[tuple[str | None, int]] = []
    decisions = []
    for origin, event in arrivals:
        if origin is Origin.TRANSACTIONS:
            decision = oracle.decide(arrived, event, notes, raised)
            decisions.append(decision)
            arrived.append(event)
            if decision and decision.alert and oracle.subject is not Subject.CUSTOMER:
                raised = [*raised, (decision.typology, decision.period)][-PERIOD_LIMIT:]
        elif event not in notes.setdefault(origin, []):
            notes[origin] = sorted(
                [*notes[origin], event], key=lambda n: (n["event_time"], n.get("transaction_id") or n.get("event_id"))
            )
    return decisions


@pytest.mark.parametrize("rounds", [25, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kept_from", [1, KEPT_FROM])
@pytest.mark.parametrize("subject", Subject)
def test_every_subject_is_judged_alike_with_labels_and_account_events(
    subject: Subject, kept_from: int, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fraud_domain.rules.history.KEPT_FROM", kept_from)
    rng = random.Random(23)  # one of those whose first rounds make every rule hit
    key = None if subject is Subject.CUSTOMER else Key(subject.value)
    catalogues = (SHIPPED, laboratory("noisy_or", key))
    pairs = [(Engine(c, UNBOUNDED, subject), ReferenceEvaluator(c, UNBOUNDED, subject)) for c in catalogues]
    hit: set[str] = set()
    for _ in range(rounds):
        arrivals = random_arrivals(rng, subject)
        for engine, oracle in pairs:
            decisions = engine_on_arrivals(engine, arrivals, rng.randrange(len(arrivals)))
            assert decisions == oracle_on_arrivals(oracle, arrivals)
            for decision in filter(None, decisions):
                hit.update(reason.rule_id for reason in (*decision.reasons, *decision.shadow))
    about_several_merchants = {"LAB-3", "LAB-4", "LAB-19"} if subject is Subject.MERCHANT else set()
    assert {rule.id for rule in catalogues[1].rules} - about_several_merchants <= hit


def test_a_merchant_has_one_alert_a_window() -> None:
    engine = Engine(SHIPPED, RuleSettings(), Subject.MERCHANT)
    history, ids, hits = engine.new_history(), [], 0
    for number in range(40):
        event = {
            "transaction_id": f"t-{number}", "customer_id": f"c-{number}", "card_token": f"card-{number}",
            "merchant_id": "m-1", "event_time": START + number * 6_000_000, "amount": Decimal(1), "currency": "BRL",
            "status": "DECLINED", "type": "CREDIT_CARD", "channel": "ECOMMERCE",
        }  # fmt: skip
        decision = engine.decide(history, event)
        assert decision is not None
        hits += [reason.rule_id for reason in decision.reasons] == ["TST-2"]
        if decision.alert:
            ids.append(alert_id(decision))
    assert hits > 20
    assert len(ids) == 1


def run_engine(engine: Engine, events: list[Event], interrupt: int | None = None) -> list[Decision | None]:
    """Decisions in order of arrival; the history is stored and read back before event `interrupt`."""
    history = engine.new_history()
    decisions = []
    for index, event in enumerate(events):
        if index == interrupt:
            history = History.load(history.dump())
        decisions.append(engine.decide(history, event))
    return decisions


def run_oracle(oracle: ReferenceEvaluator, events: list[Event]) -> list[Decision | None]:
    """Decisions of the reference evaluator in order of arrival."""
    return [oracle.decide(events[:index], event) for index, event in enumerate(events)]


# `make check` is to be quick; CI looks longer.
thorough = settings(
    max_examples=100 if os.environ.get("CI") else 25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.parametrize("name", CATALOGUES)
@thorough
@given(events=histories())
def test_engine_and_reference_decide_alike(name: str, events: list[Event]) -> None:
    assert run_engine(ENGINES[name], events) == run_oracle(ORACLES[name], events)


@pytest.mark.parametrize("name", ["shipped", "noisy_or"])
@thorough
@given(events=histories().flatmap(st.permutations))
def test_any_order_of_arrival_is_judged_by_event_time(name: str, events: list[Event]) -> None:
    assert run_engine(ENGINES[name], events) == run_oracle(ORACLES[name], events)


@pytest.mark.parametrize("name", ["shipped", "noisy_or"])
@thorough
@given(events=histories(), data=st.data())
def test_stored_and_restored_history_changes_nothing(name: str, events: list[Event], data: st.DataObject) -> None:
    interrupt = data.draw(st.integers(0, len(events) - 1))
    assert run_engine(ENGINES[name], events, interrupt) == run_engine(ENGINES[name], events)


@thorough
@given(events=histories(), data=st.data())
def test_duplicates_are_ignored_and_leave_no_trace(events: list[Event], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.integers(0, len(events) - 1), max_size=5))
    repeated = [copy for index, event in enumerate(events) for copy in [event] * (1 + again.count(index))]
    decisions = run_engine(ENGINES["shipped"], repeated)
    assert decisions.count(None) == len(again)
    assert [decision for decision in decisions if decision] == run_engine(ENGINES["shipped"], events)


@thorough
@given(events=histories())
def test_scale_of_an_amount_changes_nothing(events: list[Event]) -> None:
    scaled = [{**event, "amount": event["amount"].quantize(Decimal("0.0001"))} for event in events]
    assert run_engine(ENGINES["shipped"], scaled) == run_engine(ENGINES["shipped"], events)


@thorough
@given(events=histories())
def test_contributions_of_the_leading_typology_sum_to_the_score(events: list[Event]) -> None:
    for decision in run_engine(ENGINES["shipped"], events):
        assert decision is not None
        assert round(sum(reason.contribution for reason in decision.reasons), 2) == decision.score
        if decision.typology:
            assert (
                decision.score == decision.typology_scores[decision.typology] == max(decision.typology_scores.values())
            )
        assert decision.alert == (decision.score >= UNBOUNDED.medium_at)


def test_weak_signals_never_alert_by_themselves() -> None:
    weak = {rule.id for rule in SHIPPED.rules if rule.strength is Strength.WEAK}
    rules = [replace(r, weight=90) if r.id in weak else replace(r, status=Status.OFF) for r in SHIPPED.rules]
    engine = Engine(Catalogue(tuple(rules), SHIPPED.typologies), UNBOUNDED)
    rng = random.Random(7)
    decisions = [d for _ in range(200) for d in run_engine(engine, random_history(rng)) if d is not None]
    assert max(len(decision.reasons) for decision in decisions) >= 2
    assert not any(decision.alert for decision in decisions)
    assert max(decision.score for decision in decisions) == UNBOUNDED.medium_at - 0.01


def random_history(rng: random.Random) -> list[Event]:
    """A long history with most fields present, so that rules hit often."""
    moment, events = START, []
    for number in rng.sample(range(100), rng.randint(5, 16)):
        moment += rng.choice(GAPS[:-2]) * MINUTE
        event = {name: rng.choice(values) for name, values in REQUIRED.items()}
        event |= {name: rng.choice(values) for name, values in OPTIONAL.items() if rng.random() < 0.85}
        events.append(event | {"transaction_id": f"t-{number:02d}", "customer_id": "c-1", "event_time": moment})
    return events


@pytest.mark.parametrize("rounds", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_evaluators_agree_where_every_laboratory_rule_hits_and_abstains(rounds: int) -> None:
    """Agreement says something about a rule only if the histories make it hit."""
    rng = random.Random(20_260_101)
    hit: set[str] = set()
    abstained: set[str] = set()
    for _ in range(rounds):
        events = random_history(rng)
        for name in ("noisy_or", "shipped"):
            decisions = run_engine(ENGINES[name], events)
            assert decisions == run_oracle(ORACLES[name], events)
            for decision in filter(None, decisions):
                hit.update(reason.rule_id for reason in (*decision.reasons, *decision.shadow))
                abstained.update(decision.abstained)
    rules = [rule for rule in CATALOGUES["noisy_or"].rules if rule.features["f"].of is Origin.TRANSACTIONS]
    assert {rule.id for rule in rules} <= hit
    assert {rule.id for rule in rules if rule.min_history} <= abstained
    assert len(hit & {rule.id for rule in SHIPPED.rules}) >= 20


def test_an_altered_engine_does_not_agree() -> None:
    """The comparison bites: a threshold moved in one evaluator only is found."""
    altered = [replace(rule, weight=rule.weight + 1) if rule.id == "GEO-1" else rule for rule in SHIPPED.rules]
    engine = Engine(Catalogue(tuple(altered), SHIPPED.typologies), UNBOUNDED)
    place = {"latitude": -23.55, "longitude": -46.63}
    shared = {
        "customer_id": "customer-1", "amount": Decimal(10), "currency": "BRL", "status": "APPROVED",
        "type": "CREDIT_CARD", "channel": "POS", "entry_mode": "CHIP", "card_token": "card-1",
    }  # fmt: skip
    events = [
        {**shared, **place, "transaction_id": "t-1", "event_time": START},
        {**shared, **place, "latitude": -3.12, "transaction_id": "t-2", "event_time": START + MINUTE},
    ]
    assert run_engine(ENGINES["shipped"], events) == run_oracle(ORACLES["shipped"], events)
    assert run_engine(engine, events) != run_oracle(ORACLES["shipped"], events)


def test_alert_ids_depend_on_customer_and_transaction_only() -> None:
    event = {
        "transaction_id": "t-1", "customer_id": "c-1", "event_time": START, "amount": Decimal(1), "currency": "BRL",
        "type": "PIX", "channel": "MOBILE_APP", "status": "APPROVED",
    }  # fmt: skip
    ids = set()
    for engine in ENGINES.values():
        decision = engine.decide(engine.new_history(), event)
        assert decision is not None
        ids.add(alert_id(decision))
    assert len(ids) == 1
    (known,) = ids
    assert len(known) == 32
    others = [event | {"transaction_id": "t-2"}, event | {"customer_id": "c-2"}]
    decisions = [engine.decide(engine.new_history(), other) for other in others]
    assert len({known, *(alert_id(decision) for decision in decisions if decision)}) == 3


def test_shipped_catalogue_is_where_settings_say() -> None:
    assert Path(RuleSettings().directory).name == "rules"

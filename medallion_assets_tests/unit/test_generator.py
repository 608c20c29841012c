"""Synthetic traffic: repeatable, contract-valid, silent about the truth, and worth detecting."""

import hashlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

import orjson
import pytest

from fraud_domain.cards import TokenKey, find_card_numbers
from fraud_domain.contract import (
    EDGE_ONLY_FIELDS,
    LEAKAGE_FIELDS,
    REFUSED_FIELDS,
    AccountEvent,
    FraudLabel,
    Transaction,
)
from fraud_domain.rules import Decision, Engine, History, Origin, Subject, load_catalogue
from fraud_domain.settings import PROJECT_ROOT, GeneratorSettings, RuleSettings, Settings
from fraud_domain.topics import ACCOUNT_EVENTS, FRAUD_LABELS, TRANSACTIONS
from medallion_services.embedded.secrets import ensure_secrets
from medallion_services.generator.demo import Clock, new_run_id, pace, population, send_history
from medallion_services.generator.noise import POISON, Noise
from medallion_services.generator.oracle import OracleFile
from medallion_services.generator.purchases import ordinary
from medallion_services.generator.scenarios import NEAR_MISSES, Scenario, Step
from medallion_services.generator.timeline import ALL_FRAUDS, Emission, Plan, Timeline, Truth
from medallion_services.generator.world import World

KEY = TokenKey("k1", b"a secret of the tests")
START = 1_790_000_000.0
NOISY = Noise(duplicates=0.10, out_of_order=0.08, late=0.04, malformed=0.06)


@lru_cache(maxsize=32)
def world(seed: int = 7, customers: int = 200) -> World:
    """It follows from its arguments and does not change, so tests share it."""
    return World(seed, customers, customers, KEY)


def traffic(plan: Plan, seconds: float) -> list[Emission]:
    """All of a run, to its last label."""
    timeline = Timeline(world(plan.seed), plan)
    return [*timeline.emissions(START, START + seconds), *timeline.remaining()]


def digest(emissions: Iterable[Emission]) -> str:
    parts = (b"%r|%s|%s|%s\n" % (e.send_at, e.topic.encode(), e.key, e.value) for e in emissions)
    return hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.fixture(scope="module")
def clean() -> list[Emission]:
    return traffic(Plan(5, 7, fraud_share=0.2, run_id="clean"), 600)


@pytest.fixture(scope="module")
def noisy() -> list[Emission]:
    return traffic(Plan(10, 7, fraud_share=0.05, run_id="noisy", noise=NOISY), 600)


def events(emissions: Iterable[Emission], kind: str = "event") -> list[Emission]:
    return [e for e in emissions if e.topic == TRANSACTIONS and e.truth.kind == kind]


@pytest.mark.slow
def test_same_seed_gives_the_same_bytes_in_another_process(clean: list[Emission]) -> None:
    code = (
        "from medallion_assets_tests.unit import test_generator as t\n"
        "print(t.digest(t.traffic(t.Plan(5, 7, fraud_share=0.2, run_id='clean'), 600)))"
    )
    environment = {"PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo", "PATH": ""}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == digest(clean)


def test_another_seed_gives_other_traffic(clean: list[Emission]) -> None:
    assert digest(traffic(Plan(5, 8, fraud_share=0.2, run_id="clean"), 600)) != digest(clean)


def test_ids_never_repeat_within_a_run_nor_after_a_restart(clean: list[Emission]) -> None:
    timeline = Timeline(world(), Plan(5, 7, run_id="again"))
    again = [*timeline.emissions(START, START + 300), *timeline.emissions(START + 300, START + 600)]
    ids = [e.truth.transaction_id for e in events([*clean, *again])]
    assert len(ids) > 3000
    assert len(set(ids)) == len(ids)
    assert new_run_id() != new_run_id()


def test_truth_never_travels_in_a_transaction(noisy: list[Emission]) -> None:
    forbidden = LEAKAGE_FIELDS | REFUSED_FIELDS | EDGE_ONLY_FIELDS
    for emission in [*events(noisy), *events(noisy, "duplicate")]:
        assert not forbidden & set(orjson.loads(emission.value))
    text = "\n".join(e.value.decode() for e in events(noisy))
    assert [name for name in (*ALL_FRAUDS, *NEAR_MISSES) if name in text] == []


def test_no_card_number_leaves_the_generator(noisy: list[Emission]) -> None:
    assert list(find_card_numbers("\n".join(e.value.decode("utf-8", "replace") for e in noisy))) == []


def test_every_event_and_label_meets_the_contract(clean: list[Emission]) -> None:
    judged = set()
    for emission in clean:
        if emission.topic == TRANSACTIONS:
            event = Transaction.model_validate_json(emission.value)
            assert event.customer_id.encode() == emission.key
            assert event.transaction_id == emission.truth.transaction_id
        elif emission.topic == ACCOUNT_EVENTS:
            account_event = AccountEvent.model_validate_json(emission.value)
            assert account_event.customer_id.encode() == emission.key
        else:
            assert emission.topic == FRAUD_LABELS
            label = FraudLabel.model_validate_json(emission.value)
            assert (label.label == "fraud") == emission.truth.fraud
            judged.add(label.transaction_id)
    assert {e.truth.transaction_id for e in events(clean) if e.truth.fraud} <= judged, "every fraud becomes known"


def test_emissions_come_in_sending_order_and_clean_ones_when_they_happen(clean: list[Emission]) -> None:
    for_sending = [e.send_at for e in clean]
    assert for_sending == sorted(for_sending)
    for emission in events(clean):
        happened = datetime.fromisoformat(orjson.loads(emission.value)["event_time"])
        assert happened.timestamp() == pytest.approx(emission.send_at, abs=1e-5)


def test_share_of_fraud_and_rate_are_as_planned(clean: list[Emission]) -> None:
    found = events(clean)
    assert len(found) / 600 == pytest.approx(5, rel=0.6), "scenarios bring several transactions each"
    assert mean(e.truth.fraud for e in found) == pytest.approx(0.2, abs=0.06)
    scenarios = {e.truth.scenario for e in found}
    assert {"ordinary", *ALL_FRAUDS} <= scenarios
    assert scenarios & set(NEAR_MISSES)


def test_noise_does_what_its_knobs_say(noisy: list[Emission]) -> None:
    good = events(noisy)
    sent = {e.truth.transaction_id: e for e in good}
    repeats = events(noisy, "duplicate")
    assert len(repeats) / len(good) == pytest.approx(NOISY.duplicates, abs=0.015)
    for repeat in repeats:
        first = sent[repeat.truth.transaction_id]
        assert (repeat.key, repeat.value) == (first.key, first.value)
        assert repeat.send_at >= first.send_at
    assert len(events(noisy, "malformed")) / len(good) == pytest.approx(NOISY.malformed, abs=0.015)
    delays = [e.send_at - datetime.fromisoformat(orjson.loads(e.value)["event_time"]).timestamp() for e in good]
    assert mean(delay > 600 for delay in delays) == pytest.approx(NOISY.late, abs=0.015)
    assert mean(0.1 < delay < 600 for delay in delays) == pytest.approx(NOISY.out_of_order, abs=0.015)


def test_without_noise_nothing_is_repeated_or_broken(clean: list[Emission]) -> None:
    assert {e.truth.kind for e in clean} == {"event", "label", "account_event"}


def test_every_poison_breaks_a_good_message(clean: list[Emission]) -> None:
    good = next(e.value for e in events(clean))
    for poison in POISON:
        broken = poison(good)
        assert broken != good
        try:
            event = Transaction.model_validate_json(broken)
        except ValueError:
            continue
        refused = (LEAKAGE_FIELDS | REFUSED_FIELDS) & set(orjson.loads(broken))
        assert refused or (event.schema_version or 1) > 1 or event.event_time.year > 2090


def test_labels_come_late_by_the_planned_delay(clean: list[Emission]) -> None:
    happened = {e.truth.transaction_id: orjson.loads(e.value)["event_time"] for e in events(clean)}
    delays = []
    for emission in clean:
        if emission.topic == FRAUD_LABELS:
            known = datetime.fromisoformat(orjson.loads(emission.value)["label_time"])
            assert known.timestamp() == pytest.approx(emission.send_at, abs=1e-5)
            delays.append((known - datetime.fromisoformat(happened[emission.truth.transaction_id])).total_seconds())
    assert min(delays) >= 0
    assert mean(delays) == pytest.approx(120, rel=0.2)


def test_burst_multiplies_the_rate_while_it_lasts() -> None:
    plan = Plan(5, 7, fraud_share=0, burst_factor=8, burst_seconds=60, burst_every_seconds=600)
    times = [e.send_at - START for e in events(traffic(plan, 600))]
    assert sum(at < 60 for at in times) / 60 == pytest.approx(40, rel=0.15)
    assert sum(60 < at < 600 for at in times) / 540 == pytest.approx(5, rel=0.15)


class FakeClock:
    """Time that passes only while somebody sleeps or sends."""

    def __init__(self, now: float) -> None:
        self.time = now
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


def emission(send_at: float) -> Emission:
    return Emission(send_at, 0, TRANSACTIONS, b"k", b"v", Truth("event"))


def test_each_emission_is_sent_on_time_and_a_late_one_at_once_with_its_own_time() -> None:
    fake = FakeClock(100.0)
    sent: list[tuple[float, float]] = []

    def send(each: Emission) -> None:
        sent.append((each.send_at, fake.time))
        if each.send_at == 103.0:
            fake.time += 10  # the broker was slow

    count = pace(map(emission, (90.0, 101.0, 103.0, 104.0, 120.0)), Clock(fake.now, fake.sleep), send)
    assert count == 5
    assert sent == [(90.0, 100.0), (101.0, 101.0), (103.0, 103.0), (104.0, 113.0), (120.0, 120.0)]
    assert fake.slept == [1.0, 2.0, 7.0]


@pytest.mark.parametrize("rate", [0.01, 1, 5, 20, 28])
def test_customers_spend_at_a_human_pace(rate: float) -> None:
    settings = GeneratorSettings(rate=rate)
    people = population(settings)
    assert people >= settings.customers
    assert rate * 86_400 / people <= 5.01


def test_history_gives_regulars_a_baseline_before_live_traffic(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, generator=GeneratorSettings(customers=40))
    ensure_secrets(settings)
    sent: list[Emission] = []
    count = send_history(settings, Plan(20, 42, run_id="r1"), START, sent.append)
    assert count == len(sent)
    assert all(START - 30 * 86_400 <= e.send_at <= START for e in sent)
    per_customer = Counter(e.key for e in events(sent))
    assert len(per_customer) == 40
    assert mean(per_customer.values()) == pytest.approx(14, rel=0.25)


def test_oracle_has_a_line_for_every_emission(tmp_path: Path, noisy: list[Emission]) -> None:
    with OracleFile(tmp_path / "truth" / "oracle.jsonl") as oracle:
        for each in noisy:
            oracle.note(each)
    lines = [orjson.loads(line) for line in (tmp_path / "truth" / "oracle.jsonl").read_bytes().splitlines()]
    assert [(each["topic"], each["transaction_id"], each["fraud"]) for each in lines] == [
        (e.topic, e.truth.transaction_id, e.truth.fraud) for e in noisy
    ]


RULES = RuleSettings()
CATALOGUE = load_catalogue(RULES.directory)
ENGINES = {subject: Engine(CATALOGUE, RULES, subject) for subject in Subject}
FITTING = {
    "card_testing": {"card_testing", "cnp_takeover"},
    "stolen_card_spree": {"stolen_card"},
    "impossible_travel": {"impossible_travel", "stolen_card"},
    "account_takeover": {"account_takeover", "pix_scam"},
    "compromised_terminal": {"impossible_travel", "stolen_card"},
    "online_high_value": {"cnp_takeover"},
    "pix_scam": {"pix_scam"},
    "refund_abuse": {"refund_abuse"},
    "billing_error": {"billing_error"},
    "merchant_testing": {"card_testing"},
    "device_farm": {"card_testing"},
    "cash_out_terminal": {"compromised_terminal"},
}
TRIALS = 25
LABEL_DELAY = 300.0
Histories = dict[tuple[Subject, str], History]


def judge(histories: Histories, event: dict[str, Any], at: float, transaction_id: str) -> list[Decision]:
    """Send an event through the contract and the rules about all whom it names, as the alert lane does."""
    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
    message = orjson.dumps({"transaction_id": transaction_id, "event_time": when, **event})
    valid = Transaction.model_validate_json(message).model_dump()
    decisions = []
    for subject, engine in ENGINES.items():
        if valid[subject.field] is None:
            continue
        history = histories.setdefault((subject, valid[subject.field]), engine.new_history())
        decision = engine.decide(history, valid | {"event_time": round(valid["event_time"].timestamp() * 1e6)})
        assert decision is not None
        decisions.append(decision)
    return decisions


def live_through_a_month(histories: Histories, people: World, customer_id: str, trial: int) -> None:
    """A customer's ordinary month; it must not alarm anybody."""
    rng = Random(f"{customer_id}:{trial}")
    customer = people.customer(int(customer_id[1:]))
    days = sorted((rng.uniform(0.2, 30) for _ in range(30)), reverse=True)
    for number, before in enumerate(days):
        judge(histories, ordinary(rng, customer), START - before * 86_400, f"past-{customer_id}-{number}")


def play(name: str, scenario: Scenario, trial: int) -> list[tuple[Step, list[Decision]]]:
    """A scenario against customers with a past; a fraud becomes known after a while."""
    people = world(customers=300)
    steps = sorted(scenario(people, Random(f"{name}:{trial}")), key=lambda step: step.after)
    histories: Histories = {}
    for customer_id in sorted({step.event["customer_id"] for step in steps}):
        live_through_a_month(histories, people, customer_id, trial)
    played = []
    for number, step in enumerate(steps):
        at = START + step.after
        if step.topic == ACCOUNT_EVENTS:
            note = {"event_id": f"a-{number}", "event_time": round(at * 1e6), **step.event}
            engine, key = ENGINES[Subject.CUSTOMER], (Subject.CUSTOMER, step.event["customer_id"])
            engine.note(histories[key], Origin.ACCOUNT_EVENTS, note)
            continue
        played.append((step, judge(histories, step.event, at, f"{name}-{number}")))
        if step.fraud and "terminal_id" in step.event:
            label = {
                "transaction_id": f"{name}-{number}",
                "label": "fraud",
                "event_time": round((at + LABEL_DELAY) * 1e6),
            }
            terminal = histories[Subject.TERMINAL, step.event["terminal_id"]]
            ENGINES[Subject.TERMINAL].note(terminal, Origin.LABELS, label)
    return played


@pytest.mark.parametrize("name", ALL_FRAUDS)
def test_every_fraud_is_noticed_for_what_it_is(name: str) -> None:
    noticed, typologies = 0, Counter[str | None]()
    for trial in range(TRIALS):
        played = play(name, ALL_FRAUDS[name], trial)
        assert any(step.fraud for step, _ in played)
        alerts = [d for step, decisions in played if step.fraud for d in decisions if d.alert]
        typologies.update(decision.typology for decision in alerts)
        noticed += any(decision.typology in FITTING[name] for decision in alerts)
    assert noticed >= 0.9 * TRIALS, typologies


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_honest_behaviour_that_looks_like_fraud_raises_no_alert(name: str) -> None:
    for trial in range(TRIALS):
        for step, decisions in play(name, NEAR_MISSES[name], trial):
            assert not step.fraud
            for decision in decisions:
                assert not decision.alert, (trial, decision.score, [reason.text for reason in decision.reasons])


def test_ordinary_life_raises_hardly_an_alert(clean: list[Emission]) -> None:
    people = world(customers=300)
    histories: Histories = {}
    for number in range(60):
        live_through_a_month(histories, people, f"c{number:07d}", 0)
    rng, alerts = Random("ordinary"), 0
    for number in range(60):
        for day in range(10):
            event = ordinary(rng, people.customer(number))
            decisions = judge(histories, event, START + day * 86_400, f"live-{number}-{day}")
            alerts += sum(decision.alert for decision in decisions)
    assert alerts <= 3, "of 600"


def test_plan_without_fraud_has_none() -> None:
    plan = replace(Plan(10, 7), fraud_share=0.0)
    assert not any(e.truth.fraud for e in traffic(plan, 300))

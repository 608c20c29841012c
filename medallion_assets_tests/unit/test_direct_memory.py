"""The direct lane's memory: histories are stored late, and a driver that dies loses none of what they knew."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud_domain.cards import TokenKey
from fraud_domain.rules import Engine, History, Subject, load_catalogue
from fraud_domain.settings import PROJECT_ROOT, RuleSettings
from medallion_services.generator.timeline import Plan, Timeline
from medallion_services.generator.world import World
from medallion_services.rule_sets import read_rule_set
from spark_jobs.direct.judge import Judge, judge_again
from spark_jobs.direct.memory import EVENT_BYTES, Memory
from spark_jobs.direct.message import Message
from spark_jobs.direct.store import Due, Store
from spark_jobs.judging import Limits
from spark_jobs.published_rules import RuleSet

START = 1_767_225_600
BATCH = 7
# Short histories, so that events leave them.
LIMITS = Limits(RuleSettings(history_limit=4).model_dump_json(), 86_400_000_000)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path, 1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def batches() -> list[list[Message]]:
    """Two hours of a small town: some subjects are met in every batch, some once."""
    world = World(3, 40, 40, TokenKey("k1", b"k" * 32))
    emissions = Timeline(world, Plan(0.2, 3, fraud_share=0.2, run_id="t")).emissions(START, START + 7_200)
    messages = [Message(e.topic, 0, n, int(e.send_at * 1e6), e.value) for n, e in enumerate(emissions)]
    assert len(messages) > 1_000
    return [messages[first : first + BATCH] for first in range(0, len(messages), BATCH)]


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    found = read_rule_set(PROJECT_ROOT / "rules")
    return RuleSet("test", tuple(found.texts.items()))


class Driver:
    """What a driver does with a batch, telling nobody; its clock goes a second a batch."""

    def __init__(self, store: Store, rules: RuleSet, keep_after: float) -> None:
        self.now = 0.0
        self.store = store
        self.memory = Memory(store, most=30, keep_after=keep_after, clock=lambda: self.now)
        self.judge = Judge(self.memory, rules, LIMITS)

    def take(self, messages: list[Message]) -> list[str]:
        self.now += 1
        self.memory.begin(self.store.batch_id + 1)
        judged = list(self.judge.judge(messages))
        self.store.commit(messages, self.memory.due(len(messages)), judged)
        return [each.decision for each in judged]


def test_a_driver_that_dies_goes_on_as_if_it_had_not(
    store: Store, tmp_path: Path, batches: list[list[Message]], rules: RuleSet
) -> None:
    steady = Driver(store, rules, keep_after=0)
    wanted = [steady.take(messages) for messages in batches]
    steady.store.keep(steady.memory.all())
    (tmp_path / "killed").mkdir()
    mortal = Driver(Store(tmp_path / "killed", 1), rules, keep_after=20)
    judged_again = []
    for number, messages in enumerate(batches):
        if number % 31 == 30:
            mortal.store.close()
            mortal = Driver(Store(tmp_path / "killed", number), rules, keep_after=20)
            judged_again.append(judge_again(mortal.judge, mortal.memory, mortal.store))
        assert mortal.take(messages) == wanted[number]
    assert all(20 * BATCH <= count <= 32 * BATCH for count in judged_again)
    mortal.store.keep(mortal.memory.all())
    assert list(mortal.store.batches()) == []
    assert list(mortal.store.subjects()) == list(store.subjects())
    mortal.store.close()


def test_what_one_batch_stores_keeps_up_with_what_it_changes(store: Store) -> None:
    engine = Engine(load_catalogue(PROJECT_ROOT / "rules"), RuleSettings(), Subject.CUSTOMER)
    now = [0.0]
    memory = Memory(store, most=5_000, keep_after=5, clock=lambda: now[0])
    memory.begin(0)
    for number in range(1_000):
        memory.of(engine, f"c-{number}")
        memory.note_change(Subject.CUSTOMER, f"c-{number}")
    now[0] = 4.9
    assert memory.due(10).histories == []
    now[0] = 5.0
    due = memory.due(10)
    assert (len(due.histories), due.needed_from, len(memory)) == (550, 0, 450)
    due = memory.due(10)
    assert (len(due.histories), due.needed_from, len(memory)) == (450, 1, 0)


def test_a_history_that_has_a_batch_is_left_alone_when_it_is_judged_again(store: Store) -> None:
    engine = Engine(load_catalogue(PROJECT_ROOT / "rules"), RuleSettings(), Subject.CUSTOMER)
    store.keep(Due([(store.new_id(), "customer", "c-1", engine.new_history().dump(), 5)]))
    memory = Memory(store, most=5_000)
    memory.begin(5, again=True)
    assert memory.of(engine, "c-1") is None
    assert memory.of(engine, "c-2") is not None
    memory.begin(6, again=True)
    assert memory.of(engine, "c-1") is not None


def test_histories_that_were_let_go_come_back_from_the_file(store: Store) -> None:
    engine = Engine(load_catalogue(PROJECT_ROOT / "rules"), RuleSettings(), Subject.CUSTOMER)
    memory = Memory(store, most=2)
    for number in range(5):
        history = memory.of(engine, f"c-{number}")
        assert history is not None
        history.raised["t"] = [number]
        memory.note_change(Subject.CUSTOMER, f"c-{number}")
    assert len(memory) == 5
    store.keep(memory.all())
    assert len(memory) == 0
    found = [memory.of(engine, f"c-{number}") for number in range(5)]
    assert [history.raised["t"] for history in found if history is not None] == [[number] for number in range(5)]


def test_an_event_takes_about_as_many_bytes_as_the_limit_reckons_with(
    store: Store, batches: list[list[Message]], rules: RuleSet
) -> None:
    driver = Driver(store, rules, keep_after=0)
    for messages in batches:
        driver.take(messages)
    store.keep(driver.memory.all())
    stored = [blob for _, _, blob in store.subjects()]
    tracemalloc.start()
    try:
        histories = [History.load(blob) for blob in stored]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    events = sum(1 + len(history) for history in histories)
    assert events > 500
    assert 0.6 < taken / (events * EVENT_BYTES) < 1.5

"""What an alert costs when a hundred times as much is remembered: `python -m bench.alert_growth`.

Two parts. Alerts go into a table of 20,000 and into one of 2,000,000; payments of 20,000 customers are judged with a
store that knows those, and with one that knows 2,000,000 customers besides. Each part has a young arm, an old one, and
a young one again, the noise of the measurement; their batches alternate, there and back, in one process. CPU is this
process's, for alerts with PostgreSQL's. It takes 5 GB of disk.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from bench.sink import alert
from bench.traffic import SEED
from bench.tree_cpu import used
from fraud_domain.acceptance import Acceptance
from fraud_domain.cards import TokenKey
from fraud_domain.micro_batch import Batch
from fraud_domain.rules import Engine, Subject, load_texts
from fraud_domain.settings import PROJECT_ROOT, RuleSettings, Settings
from fraud_domain.topics import TRANSACTIONS
from medallion_services.database.prepare import admin_parameters
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.throwaway import own_database
from medallion_services.generator.timeline import Plan, Timeline
from medallion_services.generator.world import World
from medallion_services.rule_sets import read_rule_set
from spark_jobs.alert_sink import AlertSink, open_sink
from spark_jobs.direct.judge import Judge
from spark_jobs.direct.memory import Memory, events_in
from spark_jobs.direct.message import Message
from spark_jobs.direct.store import Due, Store
from spark_jobs.judging import Limits
from spark_jobs.lease import Lease
from spark_jobs.published_rules import RuleSet

RESULT = PROJECT_ROOT / "bench" / "results" / "alert_growth.json"
YOUNG, OLD, AGAIN = "young", "old", "young again"
ARMS = {YOUNG: 1, OLD: 100, AGAIN: 1}
"""How much each remembers, as a multiple."""
ALERTS, ALERTS_AT_ONCE, FILLED_AT_ONCE = 20_000, 20, 10_000
CUSTOMERS, MESSAGES_AT_ONCE, EVENTS_EACH, RATE = 20_000, 50, 5, 100.0
BLOCK, BLOCKS, SETTLE = 25, 40, 4
"""Batches measured at once, blocks of each arm, and blocks before that which do not count."""
STORED_AT_ONCE, FUTURE_TOLERANCE_US = 50_000, 300_000_000
START = 1_767_225_600.0
Step = Callable[[], int]
"""Does the next batch of an arm; gives its rows."""


def measured(steps: dict[str, Step], cpu: Callable[[], float]) -> dict[str, Any]:
    """Medians of microseconds a row by arm, of CPU and of wall, and each as a multiple of the young arm's."""
    spent: dict[str, list[float]] = {name: [] for name in steps}
    took: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(SETTLE + BLOCKS):
        for name in steps if number % 2 else reversed(steps):
            before, started = cpu(), time.perf_counter()
            rows = sum(steps[name]() for _ in range(BLOCK))
            if number >= SETTLE:
                took[name].append((time.perf_counter() - started) / rows * 1e6)
                spent[name].append((cpu() - before) / rows * 1e6)
    figures = {"cpu_us": _medians(spent), "wall_us": _medians(took)}
    ratios = {f"{kind}_of_young": {n: round(v / of[YOUNG], 3) for n, v in of.items()} for kind, of in figures.items()}
    return figures | ratios


def _medians(samples: dict[str, list[float]]) -> dict[str, float]:
    return {name: round(statistics.median(each), 1) for name, each in samples.items()}


def alert_table(settings: Settings) -> dict[str, Any]:
    """Alerts into tables of two sizes, each in a database of its own."""
    with ExitStack() as stack:
        steps: dict[str, Step] = {}
        for name, multiple in ARMS.items():
            database = settings.postgres.model_copy(update={"database": f"arm_{name.replace(' ', '_')}"})
            own = settings.model_copy(update={"postgres": database})
            prepare_database(own)
            writer = own.postgres_parameters("fraud_writer")
            lease = stack.enter_context(Lease(writer, ("alerts",), "bench"))
            sink = open_sink(writer, "alerts", lease.epochs["alerts"])
            stack.callback(sink.pool.close)
            for first in range(0, ALERTS * multiple, FILLED_AT_ONCE):
                sink.commit(Batch("alerts", "past", first), [alert(n) for n in range(first, first + FILLED_AT_ONCE)])
            with psycopg.connect(**admin_parameters(own, own.postgres.database), autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
            steps[name] = _alerts(sink, ALERTS * multiple)
        return measured(steps, used)


def _alerts(sink: AlertSink, begin: int) -> Step:
    numbers = count(begin)

    def step() -> int:
        batch = [alert(number) for number in islice(numbers, ALERTS_AT_ONCE)]
        sink.commit(Batch("alerts", "bench", batch[0]["offset"]), batch)
        return len(batch)

    return step


def direct_store(folder: Path) -> dict[str, Any]:
    """The same payments judged with stores of two sizes: message to committed batch, copying its log included."""
    texts = read_rule_set(PROJECT_ROOT / "rules").texts
    rules, limits = (
        RuleSet("bench", tuple(texts.items())),
        Limits(RuleSettings().model_dump_json(), FUTURE_TOLERANCE_US),
    )
    with ExitStack() as stack:
        steps: dict[str, Step] = {}
        for name, multiple in ARMS.items():
            store = Store(folder / name, 1)
            stack.callback(store.close)
            if multiple > 1:
                fill(store, Engine(load_texts(dict(texts)), RuleSettings()), CUSTOMERS * multiple)
            steps[name] = _payments(store, rules, limits)
        return measured(steps, time.process_time)


def fill(store: Store, engine: Engine, customers: int) -> None:
    """Store so many more customers, all with the same few payments."""
    acceptance, history = Acceptance(FUTURE_TOLERANCE_US), engine.new_history()
    payments = (acceptance.accept(each.value, each.at) for each in messages() if each.topic == TRANSACTIONS)
    for event in islice(filter(None, payments), EVENTS_EACH):
        engine.decide(history, event)
    blob = history.dump()
    for first in range(0, customers, STORED_AT_ONCE):
        names = [f"once-{number}" for number in range(first, first + STORED_AT_ONCE)]
        store.keep(Due([(store.new_id(), Subject.CUSTOMER.value, name, blob, -1) for name in names]))
        store.copy_back()


def messages() -> Iterator[Message]:
    """Traffic without end."""
    world = World(SEED, CUSTOMERS, CUSTOMERS, TokenKey("k1", b"k" * 32))
    timeline = Timeline(world, Plan(RATE, SEED, fraud_share=0.02, run_id="bench"))
    for number, each in enumerate(timeline.emissions(START, START + 1e9)):
        yield Message(each.topic, 0, number, int(each.send_at * 1e6), each.value)


def _payments(store: Store, rules: RuleSet, limits: Limits) -> Step:
    memory = Memory(store, events_in(Settings().streams.direct_memory_mb))
    judge = Judge(memory, rules, limits)
    # Made before: the generator is no part of what is measured.
    ready = iter(list(islice(messages(), MESSAGES_AT_ONCE * BLOCK * (SETTLE + BLOCKS))))

    def step() -> int:
        batch = list(islice(ready, MESSAGES_AT_ONCE))
        memory.begin(store.batch_id + 1)
        judged = list(judge.judge(batch))
        store.commit(batch, memory.due(len(batch)), judged)
        store.copy_back()
        return len(batch)

    return step


def main() -> int:
    """Both parts; says and keeps the figures."""
    load = os.getloadavg()[0]
    with TemporaryDirectory(prefix="medallion-growth-") as folder:
        judged = direct_store(Path(folder))
    sys.stdout.write(f"{json.dumps(judged)}\n")
    with own_database() as settings:
        written = alert_table(settings)
    sys.stdout.write(f"{json.dumps(written)}\n")
    document = {
        "cpus": os.cpu_count(), "load_average": round(load, 1),
        "alerts": {"young": ALERTS, "old": ALERTS * ARMS[OLD], "at_once": ALERTS_AT_ONCE} | written,
        "direct": {"customers": CUSTOMERS, "old": CUSTOMERS * ARMS[OLD], "at_once": MESSAGES_AT_ONCE} | judged,
    }  # fmt: skip
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

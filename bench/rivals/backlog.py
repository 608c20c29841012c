"""The direct lane and engines of others on a backlog, in one run: events a second, and a second of CPU.

    python -m bench.rivals.backlog 400000

So many transactions are there before an arm begins, ten minutes of traffic by their event times, and each arm has them
for itself, twice, there and back again, with an empty state each time. Measured is from its first alert in the table to
its last, and the part of the alerts that came between; so neither start-up nor the end's quiet counts. CPU is of the
arm's own processes. Same two rules and same comparison with a plain loop as in `bench.rivals`.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from bench.rivals import two_rules
from bench.rivals.__main__ import ARMS, CUSTOMERS_FOR_A_RATE, HERE, TABLES, argv_of, compared, send_past
from bench.rounds import asked
from bench.stack import driver, servers
from bench.traffic import world_of
from bench.tree_cpu import TreeCpu
from fraud_domain.settings import PROJECT_ROOT, Settings
from fraud_domain.topics import TRANSACTIONS
from medallion_services.database.prepare import admin_parameters
from medallion_services.embedded.stack import prepare_database
from medallion_services.generator.producer import KafkaSink
from medallion_services.generator.timeline import Emission

RESULT = PROJECT_ROOT / "bench" / "results" / "rivals_backlog.json"
NAMES = ("direct", "pathway", "flink")
_PATIENCE, _QUIET, _LOOK = 1_800.0, 90.0, 0.25
_NO_TABLES = "DROP SCHEMA IF EXISTS bench CASCADE"


@dataclass(frozen=True, slots=True)
class Seen:
    """How far an arm was at a moment."""

    at: float
    cpu: float
    alerts: int


def drained(settings: Settings, name: str, cpu: TreeCpu, wanted: int) -> tuple[Seen, Seen]:
    """An arm at its first alerts and at its last; it is done when it has all, or nothing new for some time.

    Raises:
        TimeoutError: nothing within half an hour.
    """
    query = f"SELECT count(*) FROM ({ARMS[name].alerts}) AS a"  # noqa: S608 - of ours
    give_up, first, last = time.monotonic() + _PATIENCE, None, None
    while time.monotonic() < give_up:
        ((count,),) = asked(settings, query, ())
        now = Seen(time.monotonic(), cpu.seconds, count)
        if count and first is None:
            first = last = now
        if first is not None and last is not None:
            if count > last.alerts:
                last = now
            if count >= wanted or now.at - last.at > _QUIET:
                return first, last
        time.sleep(_LOOK)
    raise TimeoutError(f"{name} has not alerted all within {_PATIENCE:.0f} s")


def transactions(past: Sequence[Emission]) -> int:
    """How many of the messages are what the rules are about."""
    return sum(each.topic == TRANSACTIONS for each in past)


def measure(common: Settings, name: str, number: int, past: Sequence[Emission]) -> dict[str, Any]:
    """One arm, from nothing."""
    settings = ARMS[name].settings(common, f"{name}_{number}")
    if ARMS[name].lane:
        prepare_database(settings)
    with psycopg.connect(**admin_parameters(common, common.postgres.database), autocommit=True) as connection:
        connection.execute(_NO_TABLES)
        connection.execute(TABLES)
    argv = argv_of(settings, name, f"{name}_{number}")
    load, right = os.getloadavg()[0], two_rules.alerted(past)
    with driver(settings, name, argv) as pid, TreeCpu(pid) as cpu:
        first, last = drained(settings, name, cpu, len(right))
    seconds, cpu_seconds = last.at - first.at, last.cpu - first.cpu
    events = transactions(past) * (last.alerts - first.alerts) / last.alerts
    raised = compared({name: settings}, past, time.time())[name]
    return {
        "arm": name, "events_a_second": round(events / seconds), "events_a_cpu_second": round(events / cpu_seconds),
        "seconds": round(seconds, 1), "load": round(load, 1), "alerts": raised,
    }  # fmt: skip


def main(rows: int) -> int:
    """All rounds; says each as it comes, and keeps them."""
    rate = rows / (two_rules.MINUTES * 60)
    rounds = []
    with servers() as plain, KafkaSink(plain) as sink:
        common = plain.model_copy(update={"rules": plain.rules.model_copy(update={"directory": HERE / "rules"})})
        customers = round(rate * CUSTOMERS_FOR_A_RATE)
        past = send_past(sink, world_of(common, customers), rate)
        for number, name in enumerate((*NAMES, *reversed(NAMES))):
            rounds.append(measure(common, name, number, past))
            sys.stdout.write(json.dumps(rounds[-1]) + "\n")
            sys.stdout.flush()
    document = {"cpus": os.cpu_count(), "events": transactions(past), "customers": customers, "rounds": rounds}
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 400_000))

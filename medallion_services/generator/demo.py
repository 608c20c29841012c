"""The traffic of `medallion up`: a past for the regular customers once, then live traffic without end."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from fraud_domain.settings import GeneratorSettings, Settings
from medallion_services.generator.oracle import OracleFile
from medallion_services.generator.producer import KafkaSink
from medallion_services.generator.timeline import ALL_FRAUDS, Emission, Plan, Timeline
from medallion_services.generator.world import World

_PER_CUSTOMER_AND_DAY = 5
"""Transactions of a busy customer: more would make every honest customer look like a thief."""
_HISTORY_EVENTS_PER_REGULAR = 14
_MOST_CUSTOMERS = 500_000
_CHUNK_SECONDS = 3600.0
_OPENING_SECONDS = 10.0
"""A newcomer waits for the first alert: one fraud of each kind begins within the first minutes."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, passed in so that tests need not wait."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


def population(settings: GeneratorSettings) -> int:
    """Customers such that nobody spends more often than people do; `customers` is the least."""
    busy = int(settings.rate * 86_400 / _PER_CUSTOMER_AND_DAY)
    return max(settings.customers, min(busy, _MOST_CUSTOMERS))


def pace(emissions: Iterable[Emission], clock: Clock, send: Callable[[Emission], None]) -> int:
    """Send each emission when its time has come; one that is behind goes at once, with its own time."""
    sent = 0
    for emission in emissions:
        ahead = emission.send_at - clock.now()
        if ahead > 0:
            clock.sleep(ahead)
        send(emission)
        sent += 1
    return sent


def run_live(settings: Settings, plan: Plan, oracle: Path | None, clock: Clock, say: Callable[[str], None]) -> None:
    """Send the past if it was not sent yet, then live traffic until interrupted."""
    generator = settings.generator
    world = World(plan.seed, population(generator), generator.customers, settings.token_key())
    timeline = Timeline(world, plan)
    marker = settings.run_dir / "generator-history.json"
    with KafkaSink(settings) as sink, OracleFile(oracle) as truth:

        def send(emission: Emission) -> None:
            sink.send(emission)
            truth.note(emission)

        start = clock.now()
        if generator.history_days and not marker.exists():
            count = send_history(settings, plan, start, send)
            sink.flush()
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.write_text(json.dumps({"sent": count, "until": start}), encoding="utf-8")
            say(f"sent {count} transactions of the last {generator.history_days} days")
        say(f"live: {plan.rate:g} transactions/s from {world.customers:,} customers")
        start = clock.now()
        timeline.open_with(ALL_FRAUDS, start, _OPENING_SECONDS)
        while True:
            pace(timeline.emissions(start, start + _CHUNK_SECONDS), clock, send)
            start += _CHUNK_SECONDS


def send_history(settings: Settings, plan: Plan, until: float, send: Callable[[Emission], None]) -> int:
    """Weeks of the regulars' ordinary life, so that live scenarios meet customers with a baseline."""
    generator = settings.generator
    seconds = generator.history_days * 86_400
    regulars = World(plan.seed, generator.customers, generator.customers, settings.token_key())
    past = Timeline(regulars, Plan(plan.rate, plan.seed, plan.fraud_share / 4, 86_400, f"{plan.run_id}-past"))
    count = 0
    for emission in past.emissions(until - seconds, until, generator.customers * _HISTORY_EVENTS_PER_REGULAR / seconds):
        send(emission)
        count += 1
    return count


def new_run_id() -> str:
    """A prefix that makes ids unique across restarts of the generator."""
    return uuid4().hex[:10]

"""The order of events: arrivals, scenarios under way, noise, and labels, merged by the time they are sent.

Pure: the same configuration gives the same emissions, byte for byte, whatever the clock or the machine.
"""

import heapq
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

import orjson

from fraud_domain.topics import ACCOUNT_EVENTS, FRAUD_LABELS, TRANSACTIONS
from medallion_services.generator.gangs import GANGS
from medallion_services.generator.noise import POISON, Noise
from medallion_services.generator.purchases import Event, account_event, ordinary
from medallion_services.generator.scenarios import FRAUDS, NEAR_MISSES, Scenario, Step
from medallion_services.generator.world import World

ALL_FRAUDS: Mapping[str, Scenario] = {**FRAUDS, **GANGS}
_STEPS_OF_A_FRAUD = 5.1
"""Mean number of fraudulent payments of a scenario, to turn a share of transactions into a rate of scenarios."""
_LOGIN_SHARE = 0.1
"""Ordinary transactions that a login precedes."""
_ONE_NEAR_MISS_PER = 400
_LEGIT_LABEL_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Truth:
    """What the generator knows about an emission and nobody downstream may see."""

    kind: str
    """event, duplicate, malformed, label or account_event."""
    transaction_id: str | None = None
    scenario: str = "ordinary"
    fraud: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Emission:
    """A message and when it is sent, in epoch seconds; also its Kafka timestamp."""

    send_at: float
    number: int
    topic: str = field(compare=False)
    key: bytes = field(compare=False)
    value: bytes = field(compare=False)
    truth: Truth = field(compare=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """The knobs. Rates are transactions per second of event time."""

    rate: float
    seed: int
    fraud_share: float = 0.01
    label_delay_seconds: float = 120.0
    run_id: str = "run"
    noise: Noise = field(default_factory=Noise)
    burst_factor: float = 1.0
    burst_seconds: float = 0.0
    burst_every_seconds: float = 600.0


class Timeline:
    """An endless, seeded stream of emissions; `emissions` may be called again to go on later."""

    def __init__(self, world: World, plan: Plan) -> None:
        self._world = world
        self._plan = plan
        self._rng = Random(f"{plan.seed}:timeline:{plan.run_id}")
        self._numbers = 0
        self._due: list[tuple[float, int, Step, str]] = []
        self._pending: list[Emission] = []

    def open_with(self, scenarios: Mapping[str, Scenario], start: float, every: float) -> None:
        """Let one scenario of each kind begin, `every` seconds apart, so that there is something to see at once."""
        for number, name in enumerate(scenarios):
            self._begin(start + number * every, {name: scenarios[name]})

    def emissions(self, start: float, end: float, rate: float | None = None) -> Iterator[Emission]:
        """Everything sent from `start` to `end`, in sending order; what is due later stays for the next call.

        Args:
            start: epoch seconds of the first possible event.
            end: epoch seconds; arrivals stop here.
            rate: arrivals per second instead of the plan's.
        """
        for at, step, scenario in self._events(start, end, rate or self._plan.rate):
            self._emit(at, step, scenario)
            while self._pending and self._pending[0].send_at <= at:
                yield heapq.heappop(self._pending)
        while self._pending and self._pending[0].send_at <= end:
            yield heapq.heappop(self._pending)

    def remaining(self, before: float = math.inf) -> Iterator[Emission]:
        """What was still due (delayed rows, steps under way, labels), for runs that end.

        Args:
            before: epoch seconds; later messages are forgotten. Kafka refuses those over an hour ahead of its clock.
        """
        for at, _, step, scenario in sorted(self._due, key=lambda due: due[:2]):
            if at <= before:
                self._emit(at, step, scenario)
        self._due.clear()
        while self._pending and self._pending[0].send_at <= before:
            yield heapq.heappop(self._pending)
        self._pending.clear()

    def _events(self, start: float, end: float, rate: float) -> Iterator[tuple[float, Step, str]]:
        """Arrivals and scenario steps by event time."""
        plan, rng, due = self._plan, self._rng, self._due
        fraud_start = plan.fraud_share / _STEPS_OF_A_FRAUD
        near_miss_start = fraud_start + 1 / _ONE_NEAR_MISS_PER
        at = start
        while True:
            at += rng.expovariate(rate * self._burst(at - start))
            while due and due[0][0] <= min(at, end):
                step_at, _, step, scenario = heapq.heappop(due)
                yield step_at, step, scenario
            if at > end:
                return
            dice = rng.random()
            if dice < near_miss_start:
                self._begin(at, ALL_FRAUDS if dice < fraud_start else NEAR_MISSES)
            else:
                customer = self._world.anybody(rng)
                if rng.random() < _LOGIN_SHARE:
                    yield at, Step(0, account_event(customer, "LOGIN"), False, ACCOUNT_EVENTS), "ordinary"
                yield at, Step(0, ordinary(rng, customer), False), "ordinary"

    def _burst(self, elapsed: float) -> float:
        plan = self._plan
        bursting = plan.burst_seconds and elapsed % plan.burst_every_seconds < plan.burst_seconds
        return plan.burst_factor if bursting else 1.0

    def _begin(self, at: float, scenarios: Mapping[str, Scenario]) -> None:
        name = self._rng.choice(tuple(scenarios))
        for step in scenarios[name](self._world, self._rng):
            heapq.heappush(self._due, (at + step.after, self._next(), step, name))

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def _emit(self, at: float, step: Step, scenario: str) -> None:
        """Queue a transaction with the noise the plan asks for, and its label; an account event goes as it is."""
        event, fraud = step.event, step.fraud
        if step.topic == ACCOUNT_EVENTS:
            self._account(at, event, Truth("account_event", None, scenario, fraud))
            return
        rng, noise = self._rng, self._plan.noise
        number = self._next()
        transaction_id = f"{self._plan.run_id}-{number:010d}"
        when = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
        value = orjson.dumps({"transaction_id": transaction_id, "event_time": when, **event})
        key = event["customer_id"].encode()
        send_at = at + noise.delay(rng)
        self._queue(send_at, TRANSACTIONS, key, value, Truth("event", transaction_id, scenario, fraud))
        if rng.random() < noise.duplicates:
            self._queue(
                send_at + rng.uniform(0, 5),
                TRANSACTIONS,
                key,
                value,
                Truth("duplicate", transaction_id, scenario, fraud),
            )
        if rng.random() < noise.malformed:
            self._queue(send_at, TRANSACTIONS, key, rng.choice(POISON)(value), Truth("malformed"))
        if fraud or rng.random() < _LEGIT_LABEL_SHARE:
            self._label(at, event, Truth("label", transaction_id, scenario, fraud))

    def _account(self, at: float, event: Event, truth: Truth) -> None:
        number = self._next()
        when = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
        value = {"event_id": f"{self._plan.run_id}-a{number:09d}", "event_time": when, **event}
        self._queue(at, ACCOUNT_EVENTS, event["customer_id"].encode(), orjson.dumps(value), truth)

    def _label(self, at: float, event: Event, truth: Truth) -> None:
        transaction_id, scenario, fraud = truth.transaction_id or "", truth.scenario, truth.fraud
        known_at = at + self._rng.expovariate(1 / self._plan.label_delay_seconds)
        label = {
            "transaction_id": transaction_id,
            "label": "fraud" if fraud else "legit",
            "fraud_type": scenario if fraud else None,
            "source": "chargeback" if fraud else "customer",
            "label_time": datetime.fromtimestamp(known_at, UTC).isoformat(timespec="microseconds"),
        }
        label |= {name: event[name] for name in ("terminal_id", "merchant_id", "device_id") if name in event}
        self._queue(known_at, FRAUD_LABELS, transaction_id.encode(), orjson.dumps(label), truth)

    def _queue(self, send_at: float, topic: str, key: bytes, value: bytes, truth: Truth) -> None:
        heapq.heappush(self._pending, Emission(send_at, self._next(), topic, key, value, truth))

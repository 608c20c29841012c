"""Messages in, decisions out: the same as the operator of `decisions.py` makes of the same batch.

A batch is judged in one order: what is known about subjects first, then transactions, by partition and offset.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from fraud_domain.acceptance import Acceptance
from fraud_domain.rules import Decision, Engine, Origin, Subject
from fraud_domain.topics import TRANSACTIONS
from spark_jobs.direct.memory import Memory
from spark_jobs.direct.message import Message
from spark_jobs.direct.store import Store
from spark_jobs.judging import Limits, decision_document, engine_of
from spark_jobs.published_rules import RuleSet
from spark_jobs.telling import Judged


class Judge:
    """Judges batches, one after the other."""

    def __init__(self, memory: Memory, rules: RuleSet, limits: Limits) -> None:
        self._memory = memory
        self._limits = limits
        self._acceptance = Acceptance(limits.future_tolerance_us)
        self.take_up(rules)

    def take_up(self, rules: RuleSet) -> None:
        """Judge by these rules from now on."""
        made = [engine_of(rules, self._limits, subject) for subject in Subject]
        engines = [engine for engine in made if engine.rules]
        self._engines = [(engine, engine.subject, engine.subject.field) for engine in engines]

    def judge(self, messages: Iterable[Message]) -> Iterator[Judged]:
        """What to tell of a batch: every decision about a customer, those about others where a rule hit."""
        events = []
        for message in sorted(messages, key=_arrival):
            if message.topic != TRANSACTIONS:
                self._note(message)
            elif (event := self._acceptance.accept(message.value, message.at)) is not None:
                event["topic"], event["partition"], event["offset"], event["kafka_timestamp"] = message[:4]
                events.append(event)
        for engine, _, field in self._engines:
            self._memory.bring(engine, {event[field] for event in events} - {None})
        for event in events:
            yield from self._decide(event)

    def remember(self, event: dict[str, Any]) -> None:
        """Take a transaction into the histories and tell nobody."""
        for engine, kind, field in self._engines:
            if (name := event[field]) is not None:
                self._decided(engine, kind, name, event)

    @property
    def inputs(self) -> frozenset[str]:
        """Fields of a transaction that `remember` reads."""
        return frozenset().union(*(engine.inputs for engine, _, _ in self._engines))

    def _decide(self, event: dict[str, Any]) -> Iterator[Judged]:
        for engine, kind, field in self._engines:
            name = event[field]
            decision = None if name is None else self._decided(engine, kind, name, event)
            if decision is not None and (kind is Subject.CUSTOMER or decision.reasons or decision.shadow):
                document = orjson.dumps(decision_document(decision, event)).decode()
                yield Judged(event["customer_id"], decision.alert, document)

    def _decided(self, engine: Engine, kind: Subject, name: str, event: dict[str, Any]) -> Decision | None:
        history = self._memory.of(engine, name)
        decision = None if history is None else engine.decide(history, event)
        if decision is not None:
            self._memory.note_change(kind, name)
        return decision

    def _note(self, message: Message) -> None:
        noted = self._acceptance.accept_note(message.topic, message.value, message.at)
        if noted is None:
            return
        named = orjson.loads(message.value)
        for engine, kind, field in self._engines:
            name = named.get(field)
            if isinstance(name, str) and _concerns(noted[0], engine):
                history = self._memory.of(engine, name)
                if history is not None and engine.note(history, *noted):
                    self._memory.note_change(kind, name)


def judge_again(judge: Judge, memory: Memory, store: Store) -> int:
    """Bring histories up to the last batch: the batches that some lack, told to nobody; returns their messages."""
    count = 0
    for batch_id, messages in store.batches():
        memory.begin(batch_id, again=True)
        for _ in judge.judge(messages):
            pass
        count += len(messages)
    return count


def _concerns(origin: Origin, engine: Engine) -> bool:
    """Account events are about customers, labels about everybody else (`streaming_to_postgres.LANES`)."""
    read = Origin.ACCOUNT_EVENTS if engine.subject is Subject.CUSTOMER else Origin.LABELS
    return origin is read and origin in engine.origins


def _arrival(message: Message) -> tuple[bool, str, int, int]:
    return message.topic == TRANSACTIONS, message.topic, message.partition, message.offset

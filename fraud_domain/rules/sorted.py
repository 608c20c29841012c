"""Decisions over history: the live engine, fed with one subject after the other."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from fraud_domain.rules.decision import Decision
from fraud_domain.rules.engine import Engine
from fraud_domain.rules.history import History
from fraud_domain.rules.vocabulary import Origin

Arrival = tuple[str, Origin, dict[str, Any]]
"""Key of the subject, what kind of event, and the event as the engine takes it."""


def judge_sorted(engine: Engine, arrivals: Iterable[Arrival]) -> Iterator[tuple[dict[str, Any], Decision]]:
    """Decide transactions sorted by key, then by arrival; gives each decided transaction with its decision.

    Each key starts with an empty history, so memory does not grow with the number of rows. Labels and account
    events are remembered where they stand. Duplicates give nothing.
    """
    for _, mine in groupby(arrivals, key=itemgetter(0)):
        yield from _judge(engine, engine.new_history(), mine)


def histories_sorted(engine: Engine, arrivals: Iterable[Arrival]) -> Iterator[tuple[str, History]]:
    """What judging leaves behind: the history of each key after its last arrival, sorted as for `judge_sorted`."""
    for key, mine in groupby(arrivals, key=itemgetter(0)):
        history = engine.new_history()
        for _ in _judge(engine, history, mine):
            pass
        yield key, history


def _judge(engine: Engine, history: History, arrivals: Iterable[Arrival]) -> Iterator[tuple[dict[str, Any], Decision]]:
    for _, origin, event in arrivals:
        if origin is not Origin.TRANSACTIONS:
            engine.note(history, origin, event)
        elif (decision := engine.decide(history, event)) is not None:
            yield event, decision

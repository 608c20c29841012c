"""Decisions over history: the live engine, fed with one subject after the other."""

from collections.abc import Iterable, Iterator
from typing import Any

from fraud_domain.rules.decision import Decision
from fraud_domain.rules.engine import Engine
from fraud_domain.rules.vocabulary import Origin

Arrival = tuple[str, Origin, dict[str, Any]]
"""Key of the subject, what kind of event, and the event as the engine takes it."""


def judge_sorted(engine: Engine, arrivals: Iterable[Arrival]) -> Iterator[tuple[dict[str, Any], Decision]]:
    """Decide transactions sorted by key, then by arrival; gives each decided transaction with its decision.

    Each key starts with an empty history, so memory does not grow with the number of rows. Labels and account
    events are remembered where they stand. Duplicates give nothing.
    """
    current: str | None = None
    history = engine.new_history()
    for key, origin, event in arrivals:
        if key != current:
            current, history = key, engine.new_history()
        if origin is not Origin.TRANSACTIONS:
            engine.note(history, origin, event)
        elif (decision := engine.decide(history, event)) is not None:
            yield event, decision

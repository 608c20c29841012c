"""Decisions over history: the live engine, fed with one subject after the other."""

from collections.abc import Iterable, Iterator
from typing import Any

from fraud_domain.rules import Decision, Engine, Origin

Row = tuple[str, Origin, dict[str, Any]]
"""Key of the subject, what kind of event, and the event as the engine takes it."""


def judge_sorted(engine: Engine, rows: Iterable[Row]) -> Iterator[Decision]:
    """Decide transactions sorted by key, then by arrival; labels and account events stand where they became known.

    Each key starts with an empty history, so memory does not grow with the number of rows. Duplicates give none.
    """
    current: str | None = None
    history = engine.new_history()
    decide = engine.decide
    for key, origin, event in rows:
        if key != current:
            current, history = key, engine.new_history()
        if origin is Origin.TRANSACTIONS:
            decision = decide(history, event)
            if decision is not None:
                yield decision
        else:
            engine.note(history, origin, event)

"""Which fields a program reads, and where they stand in a row.

A stored row keeps what an evaluation of a later event may need; the current row is the stored one followed
by fields that matter only now. `BASE` is stored whatever the catalogue says, so that its required fields are
never missing after a catalogue changes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fraud_domain.rules.aggregates import Row
from fraud_domain.rules.vocabulary import DERIVED, FIELDS

BASE = ("event_time", "transaction_id", "card_token", "amount", "currency", "status", "type", "channel")
CARD_TOKEN = BASE.index("card_token")
AMOUNT = BASE.index("amount")


@dataclass(frozen=True, slots=True)
class Layout:
    """Names of the current row; its first `stored` ones are kept in the history."""

    names: tuple[str, ...]
    stored: int

    @property
    def stored_names(self) -> tuple[str, ...]:
        """Names of a stored row."""
        return self.names[: self.stored]


class Reads:
    """Remembers which fields are read of earlier events and of the current one."""

    def __init__(self, layout: Layout | None = None) -> None:
        self.past_names: set[str] = set()
        self.current_names: set[str] = set()
        self._positions = {name: index for index, name in enumerate(layout.names)} if layout else {}

    def past(self, name: str) -> int:
        """Position of a field in a stored row (0 while the layout is not known yet)."""
        self.past_names.add(name)
        return self._positions.get(name, 0)

    def current(self, name: str) -> int:
        """Position of a field in the current row (0 while the layout is not known yet)."""
        self.current_names.add(name)
        return self._positions.get(name, 0)

    def layout(self) -> Layout:
        """The layout that holds everything read so far."""
        stored = BASE + tuple(sorted(self.past_names - set(BASE)))
        return Layout(stored + tuple(sorted(self.current_names - set(stored))), len(stored))


def row_builder(layout: Layout) -> Callable[[dict[str, Any]], Row]:
    """A function from an event (dict of contract fields) to its current row, derived fields included.

    The function raises KeyError when the event lacks a required field.
    """
    derived = [DERIVED[name] for name in layout.names if name in DERIVED]
    plain = [name for name in layout.names if name not in DERIVED]
    plain += sorted({name for each in derived for name in each.inputs} - set(plain))
    lines = ["def row(event):", "    get = event.get"]
    lines += [f"    {n} = {f'get({n!r})' if FIELDS[n].nullable else f'event[{n!r}]'}" for n in plain]
    lines += [f"    {d.field.name} = compute_{d.field.name}({', '.join(d.inputs)})" for d in derived]
    lines.append(f"    return ({', '.join(layout.names)},)")
    namespace: dict[str, Any] = {f"compute_{d.field.name}": d.compute for d in derived}
    exec(compile("\n".join(lines), "<row of an event>", "exec"), namespace)  # noqa: S102 - built from FIELDS only
    builder: Callable[[dict[str, Any]], Row] = namespace["row"]
    return builder

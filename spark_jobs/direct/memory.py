"""The histories that the direct lane works on: the ones used last as objects, all others in the store."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from fraud_domain.rules import Engine, History, Subject
from spark_jobs.direct.store import Store

MOST = 50_000
"""Histories kept as objects, of about 10 kB each."""


@dataclass(slots=True)
class _Held:
    id: int
    history: History


class Memory:
    """Histories by kind and name of subject."""

    def __init__(self, store: Store, most: int = MOST) -> None:
        self._store = store
        self._most = most
        self._held: OrderedDict[tuple[Subject, str], _Held] = OrderedDict()
        self._changed: dict[tuple[Subject, str], _Held] = {}

    def of(self, engine: Engine, name: str) -> History:
        """The history of a subject, an empty one when it has none yet."""
        key = (engine.subject, name)
        held = self._held.get(key)
        if held is not None:
            self._held.move_to_end(key)
            return held.history
        kept = self._store.find(engine.subject.value, name)
        if kept is None:
            held = _Held(self._store.new_id(), engine.new_history())
        else:
            held = _Held(kept.id, History.load(kept.history))
        self._held[key] = held
        return held.history

    def note_change(self, kind: Subject, name: str) -> None:
        """The history has changed since it was stored."""
        self._changed[kind, name] = self._held[kind, name]

    def __len__(self) -> int:
        return len(self._changed)

    def changes(self) -> Iterator[tuple[int, str, str, bytes]]:
        """What the store lacks: row, kind, name and history. In order of the rows, which costs the file least."""
        for (kind, name), held in sorted(self._changed.items(), key=lambda item: item[1].id):
            yield held.id, kind.value, name, held.history.dump()

    def stored(self) -> None:
        """The store has all changes: let go of what was not used for longest."""
        self._changed.clear()
        while len(self._held) > self._most:
            self._held.popitem(last=False)

"""The histories that the direct lane works on: the ones used last as objects, all others in the store.

A changed history is not stored with its batch but some seconds later: a busy merchant's is written once for all that
happened to it since. Until then the store has the messages.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from fraud_domain.rules import Engine, History, Subject
from spark_jobs.direct.store import Due, Kept, Store

EVENT_BYTES = 700
"""Of an event in memory, and of a history beside its events (`test_direct_memory.py` measures it)."""
KEEP_AFTER_SECONDS = 10.0
"""The messages of this time are judged once more when a driver was killed: two seconds of work at a thousand a second.
"""
_AT_ONCE = 500
"""Histories stored with one batch, 10 ms of work, so that what a burst has changed holds up no alert."""
_CHANGED_BY_MESSAGE = len(Subject)


def events_in(megabytes: int) -> int:
    """How many events fit: the `most` of a `Memory`."""
    return megabytes * 1_000_000 // EVENT_BYTES


@dataclass(slots=True)
class _Held:
    id: int
    history: History
    as_of: int
    """The last batch that its stored form has."""
    size: int = 1
    """One, and its events when it was last loaded or stored."""


class Memory:
    """Histories by kind and name of subject; of those that the store has, as many as `most` events (`EVENT_BYTES`)."""

    def __init__(
        self,
        store: Store,
        most: int,
        keep_after: float = KEEP_AFTER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._most = most
        self._keep_after = keep_after
        self._clock = clock
        self._size = 0
        self._held: OrderedDict[tuple[Subject, str], _Held] = OrderedDict()
        self._changed: dict[tuple[Subject, str], tuple[int, float]] = {}
        """Batch and moment of the first change that the store lacks, in this order."""
        self._batch = store.batch_id
        self._again = False
        self._now = clock()

    def begin(self, batch: int, again: bool = False) -> None:
        """Messages of this batch follow; `again` when they were judged before, and some histories have them."""
        self._batch, self._again, self._now = batch, again, self._clock()

    def of(self, engine: Engine, name: str) -> History | None:
        """The history of a subject, an empty one when it has none yet; None when it has this batch already."""
        key = (engine.subject, name)
        held = self._held.get(key)
        if held is not None:
            self._held.move_to_end(key)
        else:
            held = self._take_up(engine, name, self._store.find(engine.subject.value, (name,)).get(name))
        return None if self._again and held.as_of >= self._batch else held.history

    def bring(self, engine: Engine, names: set[str]) -> None:
        """Have the histories of these subjects at hand: `of` looks for each by itself, which takes longer."""
        kind = engine.subject
        missing = [name for name in names if (kind, name) not in self._held]
        found = self._store.find(kind.value, missing)
        for name in missing:
            self._take_up(engine, name, found.get(name))

    def _take_up(self, engine: Engine, name: str, kept: Kept | None) -> _Held:
        if kept is None:
            held = _Held(self._store.new_id(), engine.new_history(), -1)
        else:
            history = History.load(kept.history)
            held = _Held(kept.id, history, kept.as_of, 1 + len(history))
        self._held[engine.subject, name] = held
        self._size += held.size
        return held

    def note_change(self, kind: Subject, name: str) -> None:
        """The history has changed since it was stored."""
        self._changed.setdefault((kind, name), (self._batch, self._now))

    def __len__(self) -> int:
        return len(self._changed)

    def due(self, messages: int = 0) -> Due:
        """What to store now, with a batch of so many messages: no more than keeps up with what they change."""
        most = _AT_ONCE + messages * _CHANGED_BY_MESSAGE
        until = self._clock() - self._keep_after
        keys: list[tuple[Subject, str]] = []
        for key, (_, since) in self._changed.items():
            if since > until or len(keys) == most:
                break
            keys.append(key)
        return self._store_these(keys)

    def all(self) -> Due:
        """Everything that the store lacks."""
        return self._store_these(list(self._changed))

    def _store_these(self, keys: list[tuple[Subject, str]]) -> Due:
        found = []
        for key in keys:
            del self._changed[key]
            held = self._held[key]
            held.as_of = self._batch
            size = 1 + len(held.history)
            self._size += size - held.size
            held.size = size
            found.append((held.id, key[0].value, key[1], held.history.dump(), self._batch))
        self._let_go()
        # In order of the rows, which costs the file least.
        return Due(sorted(found), next((batch for batch, _ in self._changed.values()), self._batch + 1))

    def _let_go(self) -> None:
        """Forget what was not used for longest, up to the first that the store lacks."""
        while self._size > self._most and self._held and next(iter(self._held)) not in self._changed:
            self._size -= self._held.popitem(last=False)[1].size

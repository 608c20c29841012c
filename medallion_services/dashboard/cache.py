"""Answers that may be some seconds old: computed once for all who ask, renewed behind the scenes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class _Entry:
    value: Any
    at: float


class Cache:
    """Within `fresh` seconds an answer is given as it is; until `stale` it is given at once and renewed meanwhile."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[Hashable, _Entry] = {}
        self._running: dict[Hashable, asyncio.Task[Any]] = {}

    async def get(
        self, key: Hashable, fresh: float, make: Callable[[], Awaitable[Any]], stale: float | None = None
    ) -> Any:
        """The answer for `key`; `make` is awaited when there is none that is young enough.

        An error of `make` reaches those who wait for it; an answer that is still usable outlives a failed renewal.
        """
        entry = self._entries.get(key)
        age = self._clock() - entry.at if entry else float("inf")
        if entry and age <= fresh:
            return entry.value
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.ensure_future(self._renew(key, make))
            task.add_done_callback(lambda done: self._ended(key, done))
        if entry and age <= (stale if stale is not None else 20 * fresh):
            return entry.value
        return await asyncio.shield(task)

    async def _renew(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Any:
        value = await make()
        self._entries[key] = _Entry(value, self._clock())
        return value

    def _ended(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            # Read, so that a failed renewal nobody waited for is not reported as forgotten.
            task.exception()

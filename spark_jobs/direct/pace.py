"""When the next batch may begin: at once, or a moment later where so many messages come that it is worth it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

_BUSY_A_SECOND = 200.0
_APART_SECONDS = 0.02
"""A commit and a round trip to the broker cost as much as four messages: those that come meanwhile share them."""
_REMEMBERED_SECONDS = 1.0


@dataclass(slots=True)
class Pace:
    """Batches begin 20 ms apart while more than 200 messages a second come; before that, each when it can."""

    clock: Callable[[], float] = time.monotonic
    _began: float = -math.inf
    _rate: float = 0.0

    def begins(self, messages: int) -> None:
        """A batch of so many messages begins."""
        now = self.clock()
        passed = max(now - self._began, 1e-6)
        self._rate += (messages / passed - self._rate) * min(1.0, passed / _REMEMBERED_SECONDS)
        self._began = now

    def pause(self) -> float:
        """Seconds to wait before the next batch is read; none when the last one took that long."""
        if self._rate < _BUSY_A_SECOND:
            return 0.0
        return max(0.0, self._began + _APART_SECONDS - self.clock())

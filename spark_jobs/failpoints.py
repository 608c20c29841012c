"""Named places where a test may make a stream fail. Without `MEDALLION_FAILPOINT` they do nothing.

The variable holds `point:nth:action`, several separated by commas, such as `before_append@silver.transactions:2:kill9`:
at the second time that this process comes to the point, the action happens, once. After `@` stands the table or topic;
left out, any counts. Actions: `kill9`, `raise`, `sleep:SECONDS`, `enospc`. Each hit is first written, with fsync, to
the file that `MEDALLION_FAILPOINT_LOG` names, so that a test can prove that it came there.
"""

import errno
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

VARIABLE, LOG_VARIABLE = "MEDALLION_FAILPOINT", "MEDALLION_FAILPOINT_LOG"


class Failpoint(StrEnum):
    """Where a stream can be made to fail; `@` tells of what."""

    BEFORE_APPEND = "before_append"
    """@table: nothing of the batch is in it yet."""
    AFTER_APPEND = "after_append"
    """@table: the Delta commit is done, the batch is not."""
    BEFORE_MERGE = "before_merge"
    """@table."""
    AFTER_MERGE = "after_merge"
    """@table."""
    IN_MART_TRANSACTION = "in_mart_transaction"
    """All is written to the marts, nothing committed."""
    AFTER_MART_COMMIT = "after_mart_commit"
    """The marts have the batch, the checkpoint does not."""
    BEFORE_RULE_MART = "before_rule_mart"
    """Rule metrics are in gold and not yet in the mart."""
    BEFORE_HISTORIES = "before_histories"
    """The direct lane has judged a batch, its store knows nothing of it."""
    AFTER_HISTORIES = "after_histories"
    """The store has the batch and what is to be told, nobody was told."""
    BEFORE_ALERT_COMMIT = "before_alert_commit"
    """The batch is judged, the database knows nothing of it."""
    IN_ALERT_TRANSACTION = "in_alert_transaction"
    """The batch is in the ledger, its alerts are not there yet, nothing is committed."""
    AFTER_ALERT_COMMIT = "after_alert_commit"
    """Alerts are committed, nobody has logged a decision."""
    BEFORE_PUBLISH = "before_publish"
    """@topic: of decisions."""
    AFTER_PUBLISH = "after_publish"
    """@topic: the last step of an alert batch before Spark notes that it is done."""
    AFTER_RULES_RECORDED = "after_rules_recorded"
    """A new rule set has its first batch in the database; workers have not got it."""


class FailpointError(RuntimeError):
    """The action `raise`."""


@dataclass(slots=True)
class _Armed:
    point: Failpoint
    of: str
    nth: int
    action: str
    seen: int = 0

    @property
    def text(self) -> str:
        where = f"{self.point}@{self.of}" if self.of else self.point
        return f"{where}:{self.nth}:{self.action}"


@dataclass(slots=True)
class _Plan:
    armed: tuple[_Armed, ...]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def due(self, point: Failpoint, of: str) -> list[_Armed]:
        """What happens now; queries of one driver come here on several threads."""
        found = []
        with self.lock:
            for each in self.armed:
                if each.point is point and each.of in ("", of):
                    each.seen += 1
                    if each.seen == each.nth:
                        found.append(each)
        return found


def reached(point: Failpoint, of: str = "") -> None:
    """Called by the streams at each point; `of` is the table or topic that is being written."""
    if VARIABLE not in os.environ:
        return
    for each in _plan(os.environ[VARIABLE]).due(point, of):
        _note(each)
        _act(each.action)


@lru_cache(maxsize=1)
def _plan(text: str) -> _Plan:
    return _Plan(tuple(_parse(part) for part in text.split(",") if part))


def _parse(text: str) -> _Armed:
    where, nth, action = text.strip().split(":", 2)
    point, _, of = where.partition("@")
    if action not in ("kill9", "raise", "enospc") and not action.startswith("sleep:"):
        raise ValueError(f"{VARIABLE}: unknown action '{action}' in '{text}'")
    return _Armed(Failpoint(point), of, int(nth), action)


def _note(hit: _Armed) -> None:
    path = os.environ.get(LOG_VARIABLE)
    if path:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, f"{hit.text} pid={os.getpid()}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _act(action: str) -> None:
    if action == "kill9":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "raise":
        raise FailpointError("a failpoint was reached")
    elif action == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    else:
        time.sleep(float(action.removeprefix("sleep:")))

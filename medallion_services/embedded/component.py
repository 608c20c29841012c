"""What the supervisor needs to know about one process of the stack."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medallion_services.embedded.ports import PortClaim
from medallion_services.embedded.processes import Account


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Component:
    """One long-running process: how it is started, how one knows that it works, how it is stopped."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    cwd: Path
    is_ready: Callable[[], bool]
    """A real question to the process, answered in about two seconds; False while it cannot answer."""
    ports: tuple[PortClaim, ...] = ()
    prepare: Callable[[], None] = _nothing
    """Before every start: files the process needs, leftovers of a crash."""
    once_ready: Callable[[], object] = _nothing
    """After the first start of a run: what others need from it (roles, topics)."""
    start_timeout: float = 90.0
    stop_signal: int = signal.SIGTERM
    stop_grace: float = 20.0
    signal_group: bool = True
    account: Account | None = None


Stage = tuple[Component, ...]
"""Components that are started together; the next stage waits until all are ready."""

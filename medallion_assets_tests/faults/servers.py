"""Servers that can be killed, stopped and started again by the fault that is being tried."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from medallion_services.embedded.component import Component
from medallion_services.embedded.processes import ProcessId, alive, end_all, identify, log_tail, spawn, tree, wait_gone

POLL_SECONDS = 0.1


def wait_until(what: str, holds: Callable[[], bool], seconds: float, every: float = POLL_SECONDS) -> float:
    """Wait for something and return how long it took.

    Raises:
        AssertionError: it did not happen within `seconds`.
    """
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < seconds, f"not within {seconds:.0f} s: {what}"
        time.sleep(every)
    return time.monotonic() - started


@dataclass(slots=True)
class Server:
    """One component of the embedded stack, without anybody who restarts it."""

    component: Component
    log: Path
    _process: subprocess.Popen[bytes] | None = None
    _leader: ProcessId | None = field(default=None)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.component.prepare()
        self._process = spawn(
            self.component.command,
            environment=self.component.environment,
            log=self.log,
            cwd=self.component.cwd,
            account=self.component.account,
        )
        self._leader = identify(self._process.pid)

        def ready() -> bool:
            assert self.alive, f"{self.component.name} ended while starting: {log_tail(self.log)}"
            return self.component.is_ready()

        wait_until(f"{self.component.name} answers", ready, self.component.start_timeout)

    @property
    def alive(self) -> bool:
        """Whether its first process runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL to its first process, as the kernel does when memory ends; returns when all of it is gone."""
        assert self._process is not None
        members = tree(self._process.pid)
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        left = wait_gone(members, 30.0)
        assert not left, f"{self.component.name}: {left} outlived the first process"

    def stop(self) -> None:
        """The orderly stop; by force after its grace."""
        if self._process is None:
            return
        members = tree(self._process.pid)
        if self.alive:
            self._process.send_signal(self.component.stop_signal)
            try:
                self._process.wait(self.component.stop_grace)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        end_all(alive(members), 5.0)

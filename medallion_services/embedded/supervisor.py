"""Keep the components running: start them in order, restart what dies, stop all in reverse.

One thread, one loop. What it tells the user goes through a `Reporter`; waiting goes through `Clock`.
"""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from medallion_services.embedded.component import Component, Stage
from medallion_services.embedded.owner import ComponentState
from medallion_services.embedded.ports import require_free
from medallion_services.embedded.processes import (
    ProcessId,
    alive,
    end_all,
    identify,
    in_session,
    log_tail,
    signal_all,
    spawn,
    tree,
    wait_gone,
)
from medallion_services.embedded.reporter import Reporter
from medallion_services.errors import UserError

_POLL_SECONDS = 0.2
_BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STABLE_SECONDS = 60.0


class StopRequested(Exception):
    """A signal asked the owner to stop while it was waiting."""


def restart_delay(failures: int) -> float:
    """Seconds to wait before the next start after so many failures in a row."""
    return _BACKOFF_SECONDS[min(max(failures, 1), len(_BACKOFF_SECONDS)) - 1]


@dataclass(slots=True)
class _Running:
    """A component and what became of it."""

    component: Component
    handle: subprocess.Popen[bytes] | None = None
    identity: ProcessId | None = None
    started: float = 0.0
    ready: bool = False
    failures: int = 0
    restarts: int = 0
    retry_at: float | None = None
    once_done: bool = False

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process; asked for only after a launch."""
        if self.handle is None:
            raise RuntimeError(f"{self.component.name} has not been launched")
        return self.handle

    @property
    def state(self) -> str:
        """starting, running or restarting."""
        if self.retry_at is not None:
            return "restarting"
        return "running" if self.ready else "starting"


@dataclass(slots=True)
class Supervisor:
    """Runs the stages of one stack until asked to stop."""

    stages: Sequence[Stage]
    log_dir: Path
    reporter: Reporter
    on_change: Callable[[str, dict[str, ComponentState]], None] = lambda phase, components: None
    clock: Callable[[], float] = time.monotonic
    stop_event: threading.Event = field(default_factory=threading.Event)
    _running: dict[str, _Running] = field(default_factory=dict)

    def handle_signals(self) -> None:
        """Take SIGINT, SIGTERM and SIGHUP as requests to stop.

        Done before anything is started: a handled signal is reset in children, an ignored one is inherited.
        """

        def request(number: int, frame: FrameType | None) -> None:
            self.stop_event.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, request)

    def start(self) -> None:
        """Start every stage; returns when all components answer.

        Raises:
            UserError: a port is taken, or a component ends or does not answer in time.
            StopRequested: a signal came while starting.
        """
        for stage in self.stages:
            for component in stage:
                self._launch(self._running.setdefault(component.name, _Running(component)))
            waiting = [self._running[component.name] for component in stage]
            while waiting:
                for each in waiting:
                    self._check_start(each)
                waiting = [each for each in waiting if not each.ready]
                self._pause()
        self._publish("running")

    def watch(self) -> None:
        """Restart what dies until a stop is requested."""
        while not self.stop_event.is_set():
            for each in self._running.values():
                self._supervise(each)
            self.stop_event.wait(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop every component, last started first; nothing of them is left."""
        self._publish("stopping")
        for stage in reversed(self.stages):
            launched = [self._running[c.name] for c in reversed(stage) if c.name in self._running]
            ending = [(each, self._ask_to_end(each)) for each in launched if each.handle is not None]
            for each, members in ending:
                self.reporter.stopping(each.component.name)
                self._reap(each, members)

    def _pause(self) -> None:
        if self.stop_event.wait(_POLL_SECONDS):
            raise StopRequested

    def _publish(self, phase: str) -> None:
        self.on_change(
            phase,
            {
                name: ComponentState(
                    each.state,
                    each.identity.pid if each.identity else None,
                    each.identity.created if each.identity else None,
                    each.restarts,
                )
                for name, each in self._running.items()
            },
        )

    def _log(self, component: Component) -> Path:
        return self.log_dir / f"{component.name}.log"

    def _launch(self, each: _Running) -> None:
        component = each.component
        self.reporter.starting(component.name)
        each.started, each.ready, each.retry_at = self.clock(), False, None
        component.prepare()
        require_free(component.name, component.ports)
        each.handle = spawn(
            component.command,
            environment=component.environment,
            log=self._log(component),
            cwd=component.cwd,
            account=component.account,
        )
        each.identity = identify(each.process.pid)
        self._publish("starting")

    def _check_start(self, each: _Running) -> None:
        """One look at a component of the stage being started."""
        name, log = each.component.name, self._log(each.component)
        if (code := each.process.poll()) is not None:
            raise UserError(f"{name} ended while starting (code {code}). Its log {log} ends with:\n{log_tail(log)}")
        if self._became_ready(each):
            return
        if self.clock() - each.started > each.component.start_timeout:
            raise UserError(
                f"{name} did not answer within {each.component.start_timeout:.0f} s. "
                f"Its log {log} ends with:\n{log_tail(log)}"
            )

    def _became_ready(self, each: _Running) -> bool:
        if not each.ready and each.component.is_ready():
            if not each.once_done:
                each.component.once_ready()
                each.once_done = True
            each.ready = True
            self.reporter.ready(each.component.name, self.clock() - each.started)
            self._publish("running" if self._all_ready() else "starting")
        return each.ready

    def _all_ready(self) -> bool:
        wanted = sum(len(stage) for stage in self.stages)
        return len(self._running) == wanted and all(each.ready for each in self._running.values())

    def _supervise(self, each: _Running) -> None:
        """One look at a component of a running stack."""
        now = self.clock()
        if each.retry_at is not None:
            if now >= each.retry_at:
                self._relaunch(each)
            return
        code = each.process.poll()
        if code is not None:
            self._schedule_restart(each, code)
        elif not each.ready:
            self._became_ready(each)
            if not each.ready and now - each.started > each.component.start_timeout:
                self._reap(each, self._ask_to_end(each))
                self._schedule_restart(each, None)
        elif now - each.started > _STABLE_SECONDS:
            each.failures = 0

    def _relaunch(self, each: _Running) -> None:
        try:
            self._launch(each)
        except (UserError, OSError) as error:
            log = self._log(each.component)
            with log.open("a", encoding="utf-8") as file:
                file.write(f"supervisor: not started: {error}\n")
            self._schedule_restart(each, None)

    def _schedule_restart(self, each: _Running, code: int | None) -> None:
        each.failures += 1
        each.restarts += 1
        each.ready = False
        delay = restart_delay(each.failures)
        each.retry_at = self.clock() + delay
        self.reporter.died(each.component.name, code, delay, self._log(each.component))
        self._publish("running")

    def _ask_to_end(self, each: _Running) -> tuple[ProcessId, ...]:
        """Signal one component and return all that descends from it."""
        members = tree(each.process.pid)
        leader = tuple(member for member in members if member.pid == each.process.pid)
        first = in_session(members, each.process.pid) if each.component.signal_group else leader
        signal_all(first, each.component.stop_signal)
        return members

    def _reap(self, each: _Running, members: Sequence[ProcessId]) -> None:
        """Wait for a component to end, by force after its grace, and for its descendants."""
        try:
            each.process.wait(each.component.stop_grace)
        except subprocess.TimeoutExpired:
            signal_all(alive(members), signal.SIGKILL)
            each.process.wait(10)
        left = wait_gone(members, 3.0)
        if left:
            end_all(left, 5.0)
        each.handle = None

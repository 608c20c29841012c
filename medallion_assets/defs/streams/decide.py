"""What a guard does next: a pure decision over desired state, runs, heartbeats and history.

Run status alone is not enough: a killed run worker leaves its driver writing, and after a crash of the
whole stack a run stays STARTED for ever. So the heartbeat is the truth, and a driver that is still alive
without a run is waited for (it stops itself) before a successor starts. A driver whose process has ended is
not waited for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Kind(StrEnum):
    """The possible moves."""

    START = "start"
    HEALTHY = "healthy"
    STARTING = "starting"
    STOP = "stop"
    IDLE = "idle"
    FAIL_ZOMBIE = "fail_zombie"
    WAIT_ORPHAN = "wait_orphan"
    WAIT_TURN = "wait_turn"
    BACK_OFF = "back_off"
    CIRCUIT_OPEN = "circuit_open"


@dataclass(frozen=True, slots=True)
class Desired:
    """What people want; raising `generation` asks for a restart and closes an open circuit."""

    running: bool
    generation: int
    reason: str
    changed_at: datetime
    resume_at: datetime | None = None
    """When a stop ends by itself, if it does."""


@dataclass(frozen=True, slots=True)
class RunInFlight:
    """A run that has not ended. `since` is when it was created."""

    run_id: str
    status: str
    since: datetime
    generation: int


@dataclass(frozen=True, slots=True)
class Beat:
    """Last sign of life of one stream's driver."""

    stream: str
    run_id: str
    state: str
    at: datetime
    host: str
    pid: int
    gone: bool = False
    """Whether its process is known to have ended; nobody knows that of another host."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Patience. `start_grace` covers queue, JVM start and first batch, `gone_after` what a run needs to hear by itself
    that its driver ended."""

    stale_after: timedelta
    gone_after: timedelta = timedelta(seconds=10)
    start_grace: timedelta = timedelta(seconds=150)
    first_pause: timedelta = timedelta(seconds=5)
    longest_pause: timedelta = timedelta(minutes=5)
    open_after: int = 9


@dataclass(frozen=True, slots=True)
class Decision:
    """A move, why, and the run it concerns."""

    kind: Kind
    reason: str
    run_id: str | None = None


_ALIVE = frozenset({"starting", "running"})


def pause_after(failures: int, limits: Limits) -> timedelta:
    """None after the first failure, which may be no fault of the driver's; from the second in a row on, exponential."""
    if failures < 2:
        return timedelta(0)
    doubled: timedelta = limits.first_pause * (2 ** min(failures - 2, 16))
    return min(doubled, limits.longest_pause)


def decide(
    now: datetime,
    desired: Desired,
    runs: Sequence[RunInFlight],
    beats: Sequence[Beat],
    failures: Sequence[datetime],
    limits: Limits,
) -> Decision:
    """The next move for one application.

    Args:
        now: UTC.
        desired: what people want.
        runs: runs of the application's job that have not ended, newest first.
        beats: last heartbeat of each of its streams, if any.
        failures: end times of the failed runs since the last good one, newest first.
        limits: patience.
    """
    run = runs[0] if runs else None
    if not desired.running:
        if run:
            return Decision(Kind.STOP, f"wanted stopped: {desired.reason or 'no reason given'}", run.run_id)
        until = f" until {desired.resume_at:%Y-%m-%d %H:%M %Z}" if desired.resume_at else ""
        return Decision(Kind.IDLE, f"stopped on purpose{until}: {desired.reason or 'no reason given'}")
    if run:
        return _with_run(now, desired, run, beats, limits)
    alive = [b for b in beats if b.state in _ALIVE and now - b.at < limits.stale_after and not _gone(now, b, limits)]
    if alive:
        b = alive[0]
        return Decision(
            Kind.WAIT_ORPHAN,
            f"a driver without a run still writes {b.stream} (pid {b.pid} on {b.host}, beat {_ago(now, b.at)});"
            " it stops itself, a successor starts after that",
        )
    return _without_run(now, [f for f in failures if f > desired.changed_at], limits)


def _with_run(now: datetime, desired: Desired, run: RunInFlight, beats: Sequence[Beat], limits: Limits) -> Decision:
    if run.generation < desired.generation:
        return Decision(Kind.STOP, f"restart asked for: {desired.reason or 'no reason given'}", run.run_id)
    own = [b for b in beats if b.run_id == run.run_id]
    for b in own:
        if _gone(now, b, limits):
            what = f"the driver of {b.stream} (pid {b.pid}) is gone, its last beat was {_ago(now, b.at)}"
            return Decision(Kind.FAIL_ZOMBIE, what, run.run_id)
    stale = [b for b in own if now - b.at >= limits.stale_after]
    if own and not stale:
        if any(b.state == "starting" for b in own):
            return Decision(Kind.STARTING, f"starting: driver up, first batches under way ({run.status})", run.run_id)
        return Decision(Kind.HEALTHY, f"healthy: oldest beat {_ago(now, min(b.at for b in own))}", run.run_id)
    if now - run.since < limits.start_grace:
        return Decision(Kind.STARTING, f"starting: run {run.status}, created {_ago(now, run.since)}", run.run_id)
    if stale:
        what = f"no heartbeat of {stale[0].stream} since {_ago(now, stale[0].at)}: hung, or gone with its worker"
    else:
        what = f"no heartbeat ever, run {run.status} created {_ago(now, run.since)}"
    return Decision(Kind.FAIL_ZOMBIE, what, run.run_id)


def _gone(now: datetime, beat: Beat, limits: Limits) -> bool:
    """Whether a driver that did not say how it ended is known to have ended."""
    return beat.state in _ALIVE and beat.gone and now - beat.at >= limits.gone_after


def _without_run(now: datetime, failures: Sequence[datetime], limits: Limits) -> Decision:
    if not failures:
        return Decision(Kind.START, "no run and no driver: starting")
    if len(failures) >= limits.open_after:
        return Decision(
            Kind.CIRCUIT_OPEN,
            f"{len(failures)} failures in a row, last {_ago(now, failures[0])}: not trying again. See the last run's"
            " error, mend the cause, then `medallion streams restart`",
        )
    due = failures[0] + pause_after(len(failures), limits)
    if now < due:
        wait = int((due - now).total_seconds()) + 1
        return Decision(Kind.BACK_OFF, f"{len(failures)} failure(s) in a row: next try in {wait} s")
    return Decision(Kind.START, f"trying again after {len(failures)} failure(s) in a row")


def in_turn(decision: Decision, ahead: Decision, name: str) -> Decision:
    """The lake starts after the alert lane: two cold JVMs on a small machine make each other late, and people wait for
    alerts. An alert lane that fails or is stopped holds nobody up.

    Args:
        decision: of the application that would start.
        ahead: of the application that goes first, called `name`.
    """
    if decision.kind is Kind.START and ahead.kind in (Kind.START, Kind.STARTING):
        return Decision(Kind.WAIT_TURN, f"after {name}, which is at: {ahead.reason}")
    return decision


def _ago(now: datetime, then: datetime) -> str:
    return f"{max(0, int((now - then).total_seconds()))} s ago"

"""Start, recognise and end processes: the only place that signals anything.

A process is always known by its id *and* its creation time, so a reused id is never signalled.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from medallion_services.embedded.environment import MARKER

_CREATE_TIME_TOLERANCE = 0.02
LOG_BYTES = 20 * 1024 * 1024
LOG_FILES = 3


@dataclass(frozen=True, slots=True)
class Account:
    """The user a process runs as when the owner is root."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process, unmistakably."""

    pid: int
    created: float

    def find(self) -> psutil.Process | None:
        """The process if it still runs; a zombie does not."""
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.created) > _CREATE_TIME_TOLERANCE:
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.Error:
            return None


def identify(pid: int) -> ProcessId | None:
    """The identity of a running process id."""
    try:
        return ProcessId(pid, psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def rotate_log(path: Path, limit: int = LOG_BYTES, keep: int = LOG_FILES) -> None:
    """Move a log that has grown beyond `limit` aside, keeping the `keep` newest."""
    if not path.exists() or path.stat().st_size < limit:
        return
    for number in range(keep - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))


def spawn(
    command: Sequence[str], *, environment: Mapping[str, str], log: Path, cwd: Path, account: Account | None = None
) -> subprocess.Popen[bytes]:
    """Start a process in its own session, its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    rotate_log(log)
    with log.open("ab") as output:
        return subprocess.Popen(
            list(command),
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def log_tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log, for a message."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def tree(pid: int) -> tuple[ProcessId, ...]:
    """A process and all that descend from it, also those in sessions of their own."""
    try:
        root = psutil.Process(pid)
        members = [root, *root.children(recursive=True)]
    except psutil.Error:
        return ()
    return tuple(found for member in members if (found := identify(member.pid)))


def in_session(processes: Iterable[ProcessId], session: int) -> tuple[ProcessId, ...]:
    """Those that belong to the session of a process; the others have a master of their own who stops them."""

    def belongs(each: ProcessId) -> bool:
        try:
            return os.getsid(each.pid) == session
        except OSError:
            return False

    return tuple(each for each in processes if belongs(each))


def _ancestors() -> set[int]:
    try:
        return {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    except psutil.Error:
        return {os.getpid()}


def marked(instance: str) -> tuple[ProcessId, ...]:
    """Processes that carry the marker of a stack, with their descendants; never this one or its parents."""
    spared = _ancestors()
    found: dict[int, ProcessId] = {}
    for process in psutil.process_iter():
        try:
            if process.pid in spared or process.environ().get(MARKER) != instance:
                continue
        except psutil.Error:
            continue
        found |= {member.pid: member for member in tree(process.pid) if member.pid not in spared}
    return tuple(found.values())


def alive(processes: Iterable[ProcessId]) -> tuple[ProcessId, ...]:
    """Those that still run."""
    return tuple(each for each in processes if each.find() is not None)


def signal_all(processes: Iterable[ProcessId], number: int) -> None:
    """Send a signal to each process that still is the one meant."""
    for each in processes:
        found = each.find()
        if found is not None:
            try:
                found.send_signal(number)
            except psutil.Error:
                continue


def wait_gone(processes: Iterable[ProcessId], timeout: float) -> tuple[ProcessId, ...]:
    """Wait until none runs, and return those that still do after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    remaining = alive(processes)
    while remaining and time.monotonic() < deadline:
        time.sleep(0.05)
        remaining = alive(remaining)
    return remaining


def _first_signal(process: ProcessId) -> int:
    """PostgreSQL's SIGTERM waits for clients to leave; SIGINT is its orderly, prompt stop."""
    found = process.find()
    try:
        return signal.SIGINT if found is not None and found.name() == "postgres" else signal.SIGTERM
    except psutil.Error:
        return signal.SIGTERM


def end_all(processes: Iterable[ProcessId], grace: float) -> tuple[ProcessId, ...]:
    """Ask, wait, then kill; returns those that outlived even that (uninterruptible, or not ours)."""
    members = alive(processes)
    for each in members:
        signal_all((each,), _first_signal(each))
    stubborn = wait_gone(members, grace)
    signal_all(stubborn, signal.SIGKILL)
    return wait_gone(stubborn, 5.0)


def end_marked(instance: str, grace: float) -> tuple[ProcessId, ...]:
    """End every process of a stack and return those that were found; repeated, as they may start others."""
    ended: list[ProcessId] = []
    for _ in range(5):
        found = marked(instance)
        if not found:
            break
        ended.extend(found)
        end_all(found, grace)
    return tuple(ended)

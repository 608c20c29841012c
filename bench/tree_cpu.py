"""CPU seconds of a process and all below it, also of those that nobody waits for, such as a JVM."""

import threading
import time
from types import TracebackType

import psutil


def used() -> float:
    """CPU seconds of this process, exactly, and of those below it in hundredths, now."""
    total = time.process_time()
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


class TreeCpu:
    """Looks twice a second at what runs below a process and remembers what each has used; a context manager."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._used: dict[tuple[int, float, str], float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "TreeCpu":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """User and system time, as last seen; a process's last half second may be missing."""
        return sum(self._used.values())

    def seconds_of(self, program: str) -> float:
        """Of the processes of one program, such as `java`."""
        return sum(used for (_, _, name), used in self._used.items() if name.startswith(program))

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            try:
                processes = [self._root, *self._root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            for process in processes:
                try:
                    times = process.cpu_times()
                    self._used[process.pid, process.create_time(), process.name()] = times.user + times.system
                except psutil.NoSuchProcess:
                    continue

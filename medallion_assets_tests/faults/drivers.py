"""A Spark driver as a real process, and a plain supervisor that starts it again whenever it ends."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fraud_domain.settings import PROJECT_ROOT, Settings
from fraud_domain.streams import STREAMS, Application, stream
from medallion_assets.defs.streams.supervisor import command
from medallion_assets_tests.faults.servers import wait_until
from medallion_assets_tests.pipeline import database
from medallion_services.embedded.processes import ProcessId, alive, end_all, log_tail, spawn, tree
from spark_jobs.failpoints import LOG_VARIABLE, VARIABLE

PAUSE_SECONDS = 0.5
"""Between the end of a driver and the start of the next; the guard of the product waits longer."""
START_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A driver that ended: when (monotonic seconds), and how; a negative code is the signal that killed it."""

    at: float
    pid: int
    code: int


@dataclass(slots=True)
class Driver:
    """Keeps the driver of some streams running until told to stop.

    Like the product's guard it knows nothing of the JVM of a killed driver: it has to go by itself.
    """

    settings: Settings
    streams: tuple[str, ...]
    environment: Mapping[str, str]
    hits: Path
    restart: bool = True
    ended: list[Ended] = field(default_factory=list)
    _arms: list[str] = field(default_factory=list)
    _hits_before: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _members: tuple[ProcessId, ...] = ()
    _wanted: threading.Event = field(default_factory=threading.Event)
    _keeper: threading.Thread | None = None

    @property
    def name(self) -> str:
        """Of the application: the stream, or the lake."""
        return self.streams[0] if len(self.streams) == 1 else "lake"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.settings.log_dir / f"driver-{self.name}.log"

    @property
    def pid(self) -> int:
        """Process id of the driver that runs now, or ran last."""
        assert self._process is not None, f"the driver of {self.name} was never started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether one runs now."""
        return self._process is not None and self._process.poll() is None

    def start(self, *failpoints: str) -> None:
        """Start it; the first failpoint is armed for this driver, the next for the one that replaces it, and so on."""
        assert not self._wanted.is_set(), f"the driver of {self.name} is already kept running"
        self._arms = list(failpoints)
        self._hits_before = len(self._hit_lines())
        self._wanted.set()
        self._launch()
        self._keeper = threading.Thread(target=self._keep, name=f"keeper-{self.name}", daemon=True)
        self._keeper.start()

    def stop(self) -> None:
        """Stop it cleanly, and its replacement with it."""
        self._wanted.clear()
        self._signal_and_wait(signal.SIGTERM, 60.0)
        if self._keeper is not None:
            self._keeper.join()
            self._keeper = None

    def arm(self, *failpoints: str) -> None:
        """Replace the running driver by one with a failpoint."""
        self.stop()
        self.start(*failpoints)

    def kill(self) -> int:
        """SIGKILL to the Python driver alone; returns its pid."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        return pid

    def jvm(self) -> ProcessId:
        """Spark's JVM of this driver."""
        found = [each for each in tree(self.pid) if (p := each.find()) is not None and p.name() == "java"]
        assert found, f"no JVM below the driver of {self.name}"
        return found[0]

    def wait_running(self, seconds: float = START_SECONDS) -> float:
        """Wait until the heartbeat of every stream of the present driver says that it runs."""
        return wait_until(f"{self.name} runs; its log ends with {log_tail(self.log, 3)}", self.is_running, seconds, 0.3)

    def is_running(self) -> bool:
        """Whether every stream of the present driver says so."""
        with database(self.settings) as connection:
            rows = connection.execute("SELECT stream, driver_pid, state FROM fraud.stream_heartbeat").fetchall()
        found = {row["stream"]: (row["driver_pid"], row["state"]) for row in rows}
        return all(found.get(name) == (self.pid, "running") for name in self.streams)

    def wait_ended(self, count: int, seconds: float = START_SECONDS) -> Ended:
        """Wait until one more than `count` drivers have ended."""
        wait_until(f"the driver of {self.name} ends", lambda: len(self.ended) > count, seconds)
        return self.ended[count]

    def wait_hit(self, failpoint: str, seconds: float = START_SECONDS) -> str:
        """Wait until the failpoint was hit by a driver since `start`; returns the proof."""
        wait_until(
            f"failpoint {failpoint} is hit; {log_tail(self.log, 3)}", lambda: bool(self._hit(failpoint)), seconds
        )
        return self._hit(failpoint)

    def said(self, words: str) -> bool:
        """Whether a driver ever logged these words."""
        return self.log.exists() and words in self.log.read_text(encoding="utf-8", errors="replace")

    def _hit_lines(self) -> list[str]:
        return self.hits.read_text(encoding="utf-8").splitlines() if self.hits.exists() else []

    def _hit(self, failpoint: str) -> str:
        fresh = self._hit_lines()[self._hits_before :]
        return next((line for line in fresh if line.startswith(f"{failpoint} ")), "")

    def _launch(self) -> None:
        environment = {**self.environment, LOG_VARIABLE: str(self.hits), "MEDALLION_APPLICATION": self.name}
        if self._arms:
            environment[VARIABLE] = self._arms.pop(0)
        application = Application(self.name, tuple(stream(name) for name in self.streams))
        self._process = spawn(
            command(application, self.settings.streams.alert_lane),
            environment=environment,
            log=self.log,
            cwd=PROJECT_ROOT,
        )

    def _keep(self) -> None:
        while True:
            process = self._process
            assert process is not None
            code = process.wait()
            self.ended.append(Ended(time.monotonic(), process.pid, code))
            if not self.restart:
                self._wanted.clear()
            time.sleep(PAUSE_SECONDS)
            if not self._wanted.is_set():
                return
            self._launch()

    def _signal_and_wait(self, number: int, grace: float) -> None:
        process = self._process
        if process is None:
            return
        members = tree(process.pid)
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(grace)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        end_all(alive(members), 10.0)


LAKE = tuple(spec.name for spec in STREAMS if spec.name != "alerts")
ALERTS = ("alerts",)

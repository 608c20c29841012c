"""Random kill -9, many times in one run, with traffic flowing: nothing lost, nothing doubled."""

import json
import math
import statistics
import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from medallion_assets_tests.faults import checker
from medallion_assets_tests.faults.drivers import Driver
from medallion_assets_tests.faults.servers import wait_until
from medallion_assets_tests.faults.trial import Verdict, keep
from medallion_assets_tests.faults.world import Kind, World, world
from medallion_assets_tests.pipeline import database

PARTITIONS = 2
_STEP_SECONDS, _RATE = 20.0, 0.05
"""Event time and density of one piece of traffic; there is one each second."""
_LONGEST_WAIT = 6.0
"""Seconds a driver may run, at most, before it is killed again: it has begun its batches by then, or not."""
_RESTART_SECONDS = 300.0
_AGAIN = 0.5
"""Chance that a driver is killed again while it starts."""


def kill_often(
    count: int, seed: int, say: Callable[[str], None], evidence: Path, minutes: float = math.inf, direct: bool = False
) -> dict[str, Any]:
    """Kill the alert driver and the lake driver `count` times in all, or for so many minutes; returns the figures.

    The alert driver is killed at a random moment after it has raised an alert again, or, as often as not, while it is
    still starting; after it the lake driver, if that has come to run.
    """
    kind = Kind.DIRECT if direct else Kind.SHARED
    figures: dict[str, Any] = {"id": "D9", "title": "random kill -9", "lane": kind, "verdict": Verdict.BROKEN}
    with world(seed, kind, partitions=PARTITIONS) as here:
        flowing = Flow(here)
        try:
            here.traffic.send(1800)
            here.start_drivers()
            here.wait_alert(here.traffic.probe())
            here.lake.wait_running()
            flowing.start()
            restarts, killed = _kill(here, count, time.monotonic() + minutes * 60, say)
            flowing.stop()
            here.lifted()
            recovered, passed = here.settle(600.0)
            figures |= summary(restarts) | {
                "kills": killed,
                "recovered": recovered,
                "invariants": len(passed),
                "counts": checker.counts(here.settings) | dict(here.traffic.acked),
                "alerts": passed["alerts_as_demanded"],
                "decisions": passed["decisions_as_demanded"],
                "verdict": Verdict.HELD,
            }
        except Exception as error:
            figures["text"] = f"{type(error).__name__}: {error}"
            keep(evidence, here, str(error))
        finally:
            flowing.stop()
    say(json.dumps(figures, default=str))
    return figures


class Flow:
    """Traffic on a thread of its own, with one payment each second that must raise an alert."""

    def __init__(self, here: World) -> None:
        self._here = here
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._failure: Exception | None = None

    def start(self) -> None:
        """Let it flow."""
        self._thread.start()

    def stop(self) -> None:
        """Stop it; all is acknowledged then.

        Raises:
            NotAcknowledgedError: it ended by itself, because the broker was away.
        """
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._stop.wait(1.0):
                self._here.traffic.send(_STEP_SECONDS, _RATE)
                self._here.traffic.probe()
        except Exception as error:
            self._failure = error


def _kill(here: World, count: int, until: float, say: Callable[[str], None]) -> tuple[list[float], dict[str, int]]:
    """Do the killing; returns seconds from each kill of the alert driver to the first alert of its successor."""
    restarts: list[float] = []
    killed = {"alerts": 0, "lake": 0}
    while sum(killed.values()) < count and time.monotonic() < until:
        time.sleep(here.random.uniform(0.0, _LONGEST_WAIT))
        _kill_one(here.alerts, killed)
        started, moment = time.monotonic(), _now(here)
        while here.random.random() < _AGAIN and sum(killed.values()) < count:
            time.sleep(here.random.uniform(0.0, _LONGEST_WAIT))
            _kill_one(here.alerts, killed)
        # A driver of the lake that is killed at every start would never come to write.
        if sum(killed.values()) < count and (here.lake.is_running() or here.random.random() < _AGAIN / 4):
            _kill_one(here.lake, killed)
        wait_until("an alert of the new driver", partial(_alert_since, here, moment), _RESTART_SECONDS)
        restarts.append(time.monotonic() - started)
        say(f"{sum(killed.values()):>4} kills {killed}; restart to first alert {restarts[-1]:.1f} s")
    return restarts, killed


def _kill_one(driver: Driver, killed: dict[str, int]) -> None:
    if driver.alive:
        driver.kill()
        killed[driver.name] += 1


def _now(here: World) -> datetime:
    with database(here.settings) as connection:
        row = connection.execute("SELECT clock_timestamp() AS now").fetchone()
    assert row is not None
    now: datetime = row["now"]
    return now


def _alert_since(here: World, moment: datetime) -> bool:
    with database(here.settings) as connection:
        query = "SELECT 1 FROM fraud.alerts WHERE detected_at > %s LIMIT 1"
        return connection.execute(query, (moment,)).fetchone() is not None


def summary(restarts: list[float]) -> dict[str, Any]:
    """Figures of the restarts, in seconds."""
    cuts = statistics.quantiles(restarts, n=20, method="inclusive") if len(restarts) > 1 else restarts * 19
    return {
        "restarts": len(restarts),
        "restart_to_first_alert_p50": round(statistics.median(restarts), 1),
        "restart_to_first_alert_p95": round(cuts[-1], 1),
        "restart_to_first_alert_max": round(max(restarts), 1),
    }

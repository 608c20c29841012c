"""From a driver's death to the next alert, on the whole platform: `python -m bench.restart [--kills N] [--lane L ...]`.

The platform runs as by `medallion up`, beside traffic that flows. The alert lane's driver is killed with all of its
processes, Dagster's guard starts a successor, and time counts until that one's first alert is committed. Before each
kill the lane is restarted as by `medallion streams restart`: so each death is the first failure in a row, after which
the guard does not pause.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import time
from typing import Any

import psutil

from bench.rounds import asked
from bench.traffic import flowing
from fraud_domain.settings import PROJECT_ROOT, AlertLane, Settings
from fraud_domain.streams import STREAMS
from medallion_assets_tests.running_stack import answers, eventually, up
from medallion_services.embedded.throwaway import fresh_settings
from medallion_services.stream_control import want

RESULT = PROJECT_ROOT / "bench" / "results" / "restart.json"
RATE, CUSTOMERS = 50.0, 3_000
_START_SECONDS, _RESTART_SECONDS, _SETTLE_SECONDS, _LOOK_SECONDS = 600.0, 300.0, 20.0, 0.2
_RUNNING = "SELECT count(*) FROM fraud.stream_heartbeat WHERE state = 'running'"
_DRIVER = "SELECT driver_pid FROM fraud.stream_heartbeat WHERE stream = 'alerts' AND state = 'running'"
_ALERT = "SELECT extract(epoch FROM min(detected_at))::float8 FROM fraud.alerts WHERE detected_at > to_timestamp(%s)"


def driver_of(settings: Settings) -> int | None:
    """The pid of the alert lane's driver; None while it is not running."""
    return next((pid for (pid,) in asked(settings, _DRIVER, ())), None)


def successor(settings: Settings, before: int | None) -> int:
    """The pid of the driver that runs after another.

    Raises:
        RuntimeError: none came.
    """
    give_up = time.monotonic() + _RESTART_SECONDS
    while time.monotonic() < give_up:
        pid = driver_of(settings)
        if pid is not None and pid != before:
            return pid
        time.sleep(_LOOK_SECONDS)
    raise RuntimeError(f"no driver came within {_RESTART_SECONDS:.0f} s; see {settings.log_dir}")


def renewed(settings: Settings) -> int:
    """Restart the alert lane as an operator does, which forgives its failures; gives the new driver's pid."""
    before = driver_of(settings)
    want(settings, "alerts", running=True, reason="measured")
    pid = successor(settings, before)
    time.sleep(_SETTLE_SECONDS)
    return pid


def killed(settings: Settings, pid: int) -> dict[str, float]:
    """Kill a driver; seconds until its successor's process began, and until that one's first alert."""
    os.killpg(pid, signal.SIGKILL)
    moment = time.time()
    began = psutil.Process(successor(settings, pid)).create_time()
    eventually("it alerts", lambda: asked(settings, _ALERT, (moment,)) != [(None,)], _RESTART_SECONDS)
    ((alerted,),) = asked(settings, _ALERT, (moment,))
    return {"to_driver": round(began - moment, 1), "to_alert": round(alerted - moment, 1)}


def measure(lane: AlertLane, kills: int) -> dict[str, Any]:
    """The platform with one of the alert lanes, its driver killed so many times."""
    with fresh_settings(streams={"alert_lane": lane}) as settings, up(settings):
        running = [(len(STREAMS),)]
        eventually("the streams run", lambda: answers(lambda: asked(settings, _RUNNING, ()) == running), _START_SECONDS)
        load, found = os.getloadavg()[0], []
        with flowing(settings, RATE, CUSTOMERS, _START_SECONDS):
            for _ in range(kills):
                found.append(killed(settings, renewed(settings)))
                sys.stdout.write(json.dumps({"lane": lane} | found[-1]) + "\n")
                sys.stdout.flush()
    medians = {f"{name}_p50": round(statistics.median(each[name] for each in found), 1) for name in found[0]}
    return medians | {"kills": found, "load": round(load, 1)}


def main() -> int:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.restart", description=__doc__)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--lane", type=AlertLane, nargs="*", default=list(AlertLane))
    options = parser.parse_args()
    result = {"cpus": os.cpu_count(), "rate": RATE} | {lane: measure(lane, options.kills) for lane in options.lane}
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

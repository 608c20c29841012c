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
_START_SECONDS, _RESTART_SECONDS, _SETTLE_SECONDS, _TRAFFIC_SECONDS = 600.0, 300.0, 20.0, 600.0
_NOBODY = 0
_RUNNING = "SELECT count(*) FROM fraud.stream_heartbeat WHERE state = 'running'"
_OTHER_DRIVER = (
    "SELECT driver_pid FROM fraud.stream_heartbeat WHERE stream = 'alerts' AND state = 'running' AND driver_pid <> %s"
)
_FIRST_ALERT = """
SELECT extract(epoch FROM detected_at)::float8 FROM fraud.alerts WHERE detected_at > to_timestamp(%s)
ORDER BY detected_at LIMIT 1
"""


def awaited(what: str, settings: Settings, query: str, value: float) -> Any:
    """What a query finds, as soon as it finds something.

    Raises:
        AssertionError: it found nothing for minutes.
    """
    found: list[tuple[Any, ...]] = []

    def there() -> bool:
        found[:] = asked(settings, query, (value,))
        return bool(found)

    eventually(what, there, _RESTART_SECONDS)
    return found[0][0]


def renewed(settings: Settings) -> int:
    """Restart the alert lane as an operator does, which forgives its failures; gives the new driver's pid."""
    before = awaited("a driver runs", settings, _OTHER_DRIVER, _NOBODY)
    want(settings, "alerts", running=True, reason="measured")
    pid: int = awaited("the lane was restarted", settings, _OTHER_DRIVER, before)
    time.sleep(_SETTLE_SECONDS)
    return pid


def killed(settings: Settings, pid: int) -> dict[str, float]:
    """Kill a driver; seconds until its successor's process began, and until that one's first alert."""
    os.killpg(pid, signal.SIGKILL)
    moment = time.time()
    began = psutil.Process(awaited("a successor runs", settings, _OTHER_DRIVER, pid)).create_time()
    alerted = awaited("it alerts", settings, _FIRST_ALERT, moment)
    return {"to_driver": round(began - moment, 1), "to_alert": round(alerted - moment, 1)}


def measure(lane: AlertLane, kills: int) -> dict[str, Any]:
    """The platform with one of the alert lanes, its driver killed so many times."""
    with fresh_settings(streams={"alert_lane": lane}) as settings, up(settings):
        running = [(len(STREAMS),)]
        eventually("the streams run", lambda: answers(lambda: asked(settings, _RUNNING, ()) == running), _START_SECONDS)
        load, found = os.getloadavg()[0], []
        with flowing(settings, RATE, CUSTOMERS, _TRAFFIC_SECONDS):
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

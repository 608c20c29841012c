"""The alert lane beside a plain loop and the streaming design it succeeds, in one run: `python -m bench.arms`.

All read the same topic of the same broker and write to the same PostgreSQL, one after the other, twice each, in the
order A B C C B A. Traffic flows all the time at its intended times, which are Kafka's timestamps; latency is from there
to the row of the alert. Ours and the loop judge by the same rules, and their alerts about customers must be the same.
CPU is of the arm's own processes; broker, database and generator come on top, for each arm alike.
"""

import json
import os
import sys
import threading
import time
from typing import Any

import psycopg

from bench.alert_lane import feed, send_past, world_of
from bench.origin_stream import TABLES
from bench.plain_loop import TABLE
from bench.stack import driver, servers
from bench.tree_cpu import TreeCpu
from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_services.database.prepare import admin_parameters
from medallion_services.generator.producer import KafkaSink

ARMS = {
    "ours": [sys.executable, str(PROJECT_ROOT / "spark_jobs" / "streaming_to_postgres.py")],
    "loop": [sys.executable, "-m", "bench.plain_loop"],
    "origin": [sys.executable, "-m", "bench.origin_stream"],
}
ROUNDS = ("ours", "loop", "origin", "origin", "loop", "ours")
RATE, BACKLOG, WARM_UP, SECONDS = 50.0, 8_000, 45.0, 60.0
_ALERTS = {
    "ours": "SELECT kafka_timestamp AS sent, detected_at AS seen FROM fraud.alerts WHERE subject_kind = 'customer'",
    "loop": "SELECT kafka_timestamp AS sent, visible_at AS seen FROM bench.loop_alerts",
    "origin": "SELECT kafka_timestamp AS sent, visible_at AS seen FROM bench.origin_alerts",
}
_LATENCY = """
SELECT count(*), percentile_cont(ARRAY[0.5, 0.9, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM seen - sent) * 1000)
FROM ({}) AS a WHERE sent BETWEEN to_timestamp(%s) AND to_timestamp(%s)
"""
_DIFFERENT = """
WITH ours AS (
        SELECT alert_id FROM fraud.alerts WHERE subject_kind = 'customer' AND kafka_timestamp < to_timestamp(%(t)s)
     ), loop AS (SELECT alert_id FROM bench.loop_alerts WHERE kafka_timestamp < to_timestamp(%(t)s))
SELECT (SELECT count(*) FROM ours), (SELECT count(*) FROM (TABLE ours EXCEPT TABLE loop) AS a),
       (SELECT count(*) FROM (TABLE loop EXCEPT TABLE ours) AS b)
"""
RESULT = PROJECT_ROOT / "bench" / "results" / "arms.json"


def measure(settings: Settings, connection: psycopg.Connection[Any], arm: str) -> dict[str, Any]:
    """One round: warm up, then a minute."""
    with driver(settings, arm, ARMS[arm]) as pid, TreeCpu(pid) as cpu:
        time.sleep(WARM_UP)
        since, before, load = time.time(), cpu.seconds, os.getloadavg()[0]
        time.sleep(SECONDS)
        until, used = time.time(), cpu.seconds - before
        # What was sent at the end of the minute has still to arrive.
        time.sleep(20.0)
    ((count, cuts),) = connection.execute(_LATENCY.format(_ALERTS[arm]), (since, until)).fetchall()
    times = dict(zip(("p50_ms", "p90_ms", "p99_ms"), (round(each) for each in cuts or ()), strict=False))
    return {"arm": arm, "alerts": count} | times | {"cpu_seconds_a_minute": round(used, 1), "load": round(load, 1)}


def main() -> int:
    """All rounds; prints them and keeps them."""
    with servers() as settings, KafkaSink(settings) as sink:
        connected = admin_parameters(settings, settings.postgres.database)
        with psycopg.connect(**connected, autocommit=True) as connection:
            connection.execute(TABLE)
            connection.execute(TABLES)
            world, done = world_of(settings), threading.Event()
            send_past(sink, world, BACKLOG)
            feeder = threading.Thread(target=feed, args=(sink, world, RATE, done))
            feeder.start()
            rounds = []
            try:
                for arm in ROUNDS:
                    rounds.append(measure(settings, connection, arm))
                    sys.stdout.write(json.dumps(rounds[-1]) + "\n")
                    sys.stdout.flush()
            finally:
                done.set()
                feeder.join()
            # The loop of the last but one round read all from the start; ours has caught up since.
            before_both = time.time() - 3 * (WARM_UP + SECONDS + 20)
            (compared,) = connection.execute(_DIFFERENT, {"t": before_both}).fetchall()
    agreement = dict(zip(("alerts", "only_ours", "only_loop"), compared, strict=True))
    document = {"cpus": os.cpu_count(), "rate": RATE, "seconds": SECONDS, "rounds": rounds, "agreement": agreement}
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{agreement}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a second worker of a Spark cluster brings to the alert lane: `python -m bench.workers`.

A real standalone master with one or two workers of one core each, as `make test-cluster` starts them; the same backlog
for both. The first part of it warms up workers and driver, the second is measured, from a topic that is full. Rounds
run one, two, two, one, each in a process and on servers of its own. Driver, broker and PostgreSQL use the same cores.
"""

import json
import os
import statistics
import subprocess
import sys
import time

from pyspark.sql import SparkSession

from bench.alert_lane import epoch
from bench.traffic import send_past, world_of
from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_assets_tests.cluster.standalone import master, worker, write_cluster_conf
from medallion_services.embedded import jars, kafka, postgres
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.java import find_java
from medallion_services.embedded.ports import LOOPBACK, free_ports
from medallion_services.embedded.spark_conf import write_spark_conf
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.throwaway import fresh_settings, running
from medallion_services.generator.producer import KafkaSink
from spark_jobs import streaming_to_postgres

ROUNDS = (1, 2, 2, 1)
WARM_UP, MEASURED = 15_000, 45_000
RESULT = PROJECT_ROOT / "bench" / "results" / "workers.json"


def arm(workers: int) -> dict[str, float]:
    """Rows per second of one round."""
    port, web = free_ports(2)
    spark = {"master": f"spark://{LOOPBACK}:{port}", "driver_host": LOOPBACK, "executor_memory": "800m", "ui_port": web}
    with fresh_settings(spark=spark, streams={"alerts": {"interval": "0 seconds"}}) as settings:
        java = find_java(settings)
        jars.fetch(settings, java)
        write_cluster_conf(settings)
        write_spark_conf(settings)
        os.environ.update(stack_environment(settings, java_home=java.home))
        cluster = (master(settings, java), *(worker(settings, java, number + 1) for number in range(workers)))
        with running(settings, postgres.component(settings), kafka.component(settings, java)):
            prepare_database(settings)
            with running(settings, cluster[0]), running(settings, *cluster[1:]):
                return measure(settings)


def measure(settings: Settings) -> dict[str, float]:
    """Warm up, then time a backlog from its first row sent to its last row decided."""
    session = SparkSession.builder.appName("bench").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    world = world_of(settings)
    with KafkaSink(settings) as sink:
        sent = send_past(sink, world, WARM_UP, months_ago=1)
        queries = streaming_to_postgres.start(session, settings, epoch(settings))
        for query in queries:
            query.processAllAvailable()
        load, started = os.getloadavg()[0], time.monotonic()
        measured = send_past(sink, world, MEASURED)
        sending = time.monotonic() - started
        for query in queries:
            query.processAllAvailable()
    seconds = time.monotonic() - started
    executors = session.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1
    for query in queries:
        query.stop()
    session.stop()
    return {
        "executors": executors, "warm_up_rows": sent, "rows": measured, "sending_seconds": round(sending, 1),
        "seconds": round(seconds, 1), "rows_per_second": round(measured / seconds), "load_average": round(load, 1),
    }  # fmt: skip


def main() -> int:
    """All rounds; prints them and writes them beside the other results."""
    rounds = []
    for workers in ROUNDS:
        command = [sys.executable, "-m", "bench.workers", str(workers)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.stderr.write(done.stderr[-3000:])
            return done.returncode
        rounds.append({"workers": workers} | json.loads(done.stdout.splitlines()[-1]))
        sys.stdout.write(json.dumps(rounds[-1]) + "\n")
        sys.stdout.flush()
    reached = {
        str(n): statistics.mean(r["rows_per_second"] for r in rounds if r["workers"] == n) for n in sorted(set(ROUNDS))
    }
    ratio = reached["2"] / reached["1"]
    document = {"cpus": os.cpu_count(), "rounds": rounds, "rows_per_second": reached, "ratio": round(ratio, 2)}
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{reached} ratio {ratio:.2f}\n")
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.stdout.write(json.dumps(arm(int(sys.argv[1]))) + "\n")
    else:
        sys.exit(main())

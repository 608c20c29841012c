"""What the consumer's read-ahead costs an alert batch: two values of `fetch.max.wait.ms`, side by side in one run.

`python -m bench.fetch_wait` runs the alert lane on one session, stops it and starts it again on its checkpoint in the
order A B B A A B, and writes the median times of each round to `bench/results/fetch_wait.txt`.
"""

import os
import statistics
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession

from bench.alert_lane import epoch, used_cpu
from bench.stack import servers
from bench.traffic import CUSTOMERS, SEED, flowing, send_past, world_of
from fraud_domain.settings import Settings
from medallion_services.generator.producer import KafkaSink
from spark_jobs import sources, streaming_to_postgres

ARMS = {"A": "500", "B": "10"}
ROUNDS = "ABBAAB"
RATE, BACKLOG, FIRST_WARM_UP, WARM_UP, SECONDS = 20.0, 8_000, 75.0, 15.0, 30.0
RESULT = Path(__file__).parent / "results" / "fetch_wait.txt"


def main() -> int:
    """Run all rounds and keep the table."""
    with servers(alerts={"interval": "500 milliseconds"}) as settings:
        spark = SparkSession.builder.appName("bench").getOrCreate()
        spark.sparkContext.setLogLevel("OFF")
        with KafkaSink(settings) as sink:
            send_past(sink, world_of(settings), BACKLOG)
        with flowing(settings, RATE, CUSTOMERS, FIRST_WARM_UP + len(ROUNDS) * (WARM_UP + SECONDS)):
            lines = [_HEADER, *_rounds(spark, settings)]
        spark.stop()
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.write(RESULT.read_text(encoding="utf-8"))
    return 0


_HEADER = (
    f"Alert lane, trigger 500 ms, {RATE:g} transactions/s, seed {SEED}, {SECONDS:g} s a round after {WARM_UP:g} s.\n"
    "fetch.max.wait.ms  batches  batch ms  of it addBatch  CPU ms a batch: JVM  workers  load average"
)


def _rounds(spark: SparkSession, settings: Settings) -> list[str]:
    lines = []
    lease = epoch(settings)
    for number, arm in enumerate(ROUNDS):
        sources.FETCH_WAIT_MS = ARMS[arm]
        query, others = streaming_to_postgres.start(spark, settings, lease)
        time.sleep(WARM_UP if number else FIRST_WARM_UP)
        before, cpu = query.lastProgress, used_cpu()
        time.sleep(SECONDS)
        jvm, workers = (b - a for a, b in zip(cpu, used_cpu(), strict=True))
        seen = before.batchId if before else -1
        batches = [p for p in query.recentProgress if p.batchId > seen and p.numInputRows]
        whole, work = (
            statistics.median(p.durationMs[step] for p in batches) for step in ("triggerExecution", "addBatch")
        )
        n = len(batches)
        lines.append(
            f"{ARMS[arm]:>17}  {n:>7}  {whole:>8.0f}  {work:>14.0f}  {jvm * 1000 / n:>19.0f}"
            f"  {workers * 1000 / n:>7.0f}  {os.getloadavg()[0]:>12.1f}"
        )
        query.stop()
        others.stop()
    return lines


if __name__ == "__main__":
    sys.exit(main())

"""What a micro-batch of Spark costs in which nothing is to be done: `python -m bench.empty_batch`.

A thousand rows, a `foreachBatch` that does nothing, the next batch at once; with our way to write checkpoints and with
Spark's own, there and back in one warm session. Median of the batches after the first sixty of each round.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from bench.alert_lane import used_cpu
from bench.stack import spark_environment
from fraud_domain.settings import PROJECT_ROOT
from medallion_services.embedded.throwaway import fresh_settings

RESULT = PROJECT_ROOT / "bench" / "results" / "empty_batch.json"
ROWS, WARM_UP, BATCHES = 1_000, 60, 200
_MANAGER = "spark.sql.streaming.checkpointFileManagerClass"
_PARTS = ("triggerExecution", "walCommit", "addBatch", "commitOffsets")


def nothing(frame: DataFrame, batch_id: int) -> None:
    """The sink."""


def one_round(spark: SparkSession, checkpoint: Path) -> dict[str, Any]:
    """Milliseconds of a batch and of its parts, and CPU milliseconds of the JVM."""
    rows = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", ROWS).load()
    writer = rows.writeStream.foreachBatch(nothing).option("checkpointLocation", str(checkpoint))
    query = writer.trigger(processingTime="0 seconds").start()
    seen: dict[int, dict[str, int]] = {}

    def used_after(batches: int) -> float:
        while len(seen) < batches:
            time.sleep(0.2)
            seen.update({progress.batchId: dict(progress.durationMs) for progress in query.recentProgress})
        return used_cpu()[0]

    before = used_after(WARM_UP)
    first = len(seen)
    used = used_after(BATCHES) - before
    query.stop()
    warm = [durations for batch, durations in seen.items() if batch >= WARM_UP]
    parts = {f"{part}_ms": statistics.median(each.get(part, 0) for each in warm) for part in _PARTS}
    return parts | {"cpu_ms": round(used * 1000 / (len(seen) - first), 1)}


def main() -> int:
    """Measure, print and keep."""
    rounds = []
    with fresh_settings() as settings, tempfile.TemporaryDirectory() as checkpoints:
        spark_environment(settings)
        spark = SparkSession.builder.appName("empty batch").getOrCreate()
        spark.sparkContext.setLogLevel("ERROR")
        ours = str(spark.conf.get(_MANAGER))
        load = os.getloadavg()[0]
        for number, arm in enumerate(("ours", "default", "default", "ours")):
            if arm == "ours":
                spark.conf.set(_MANAGER, ours)
            else:
                spark.conf.unset(_MANAGER)
            rounds.append({"arm": arm} | one_round(spark, Path(checkpoints, str(number))))
            sys.stdout.write(json.dumps(rounds[-1]) + "\n")
            sys.stdout.flush()
        spark.stop()
    document = {"cpus": os.cpu_count(), "rows": ROWS, "load": round(load, 1), "rounds": rounds}
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

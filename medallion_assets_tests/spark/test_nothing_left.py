"""A stream runs for months: what a batch needed is forgotten when it is done, whichever way its rows take."""

import gc
import subprocess
import time
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs import batch_rows
from spark_jobs.batch_rows import as_tuples, at_hand, counts

FINISHED_JOB = "org.apache.spark.scheduler.ActiveJob"
BATCHES = 12


def alive(spark: SparkSession, name: str) -> int:
    """Instances of a class in the JVM that something still holds."""
    gc.collect()
    time.sleep(1)  # what Python let go of is let go of in the JVM a moment later
    jvm = spark._jvm
    assert jvm is not None
    tool = Path(str(jvm.java.lang.System.getProperty("java.home")), "bin", "jcmd")
    if not tool.exists():
        pytest.skip("a Java without its tools: nobody can count what is alive")
    process = str(jvm.java.lang.ProcessHandle.current().pid())
    histogram = subprocess.run(
        [tool, process, "GC.class_histogram"], check=True, capture_output=True, text=True, timeout=60
    )
    counted = [line.split() for line in histogram.stdout.splitlines()]
    return sum(int(columns[1]) for columns in counted if len(columns) > 3 and columns[3] == name)


@pytest.mark.parametrize("local", [True, False])
def test_no_job_is_held_when_its_batch_is_done(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    monkeypatch.setattr(batch_rows, "is_local", lambda _: local)
    before = alive(spark, FINISHED_JOB)
    for _ in range(BATCHES):
        frame = spark.range(100).groupBy((F.col("id") % 7).alias("key")).count().withColumn("all", F.lit(True))
        with at_hand(frame, str(tmp_path)) as rows:
            assert counts(rows, ["all"]) == (7,)
            assert len(as_tuples(rows, ["key", "count"])) == 7
    assert alive(spark, FINISHED_JOB) - before < BATCHES / 2

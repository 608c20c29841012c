"""A driver of a race: appends single rows to one Delta table from several threads, and tells which were acknowledged.

python racing.py TABLE NAME THREADS ROWS READY GO: writes the file READY, waits for the file GO, races,
prints a JSON list of the rows whose append returned.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyspark.sql import SparkSession


def race(table: str, name: str, threads: int, rows: int, ready: Path, go: Path) -> list[str]:
    """Rows that the table must hold from now on, as it said itself."""
    spark = SparkSession.builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")

    def append(thread: int) -> list[str]:
        written = []
        for number in range(rows):
            row = f"{name}-{thread}-{number}"
            spark.createDataFrame([(row,)], "row string").coalesce(1).write.format("delta").mode("append").save(table)
            written.append(row)
        return written

    spark.read.format("delta").load(table).count()
    ready.touch()
    while not go.exists():
        time.sleep(0.05)
    with ThreadPoolExecutor(threads) as pool:
        written = [row for part in pool.map(append, range(threads)) for row in part]
    spark.stop()
    return written


if __name__ == "__main__":
    where, who, count, each, ready_file, go_file = sys.argv[1:]
    print(json.dumps(race(where, who, int(count), int(each), Path(ready_file), Path(go_file))))  # noqa: T201

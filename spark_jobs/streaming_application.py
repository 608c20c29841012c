"""Several streams in one Spark application, to save memory on one machine.

spark-submit spark_jobs/streaming_application.py bronze silver gold
"""

import sys
from collections.abc import Sequence

from spark_jobs import streaming_bronze, streaming_gold, streaming_silver, streaming_to_postgres
from spark_jobs.spark_runtime import Start, main

STARTS: dict[str, Start] = {
    "bronze": streaming_bronze.start,
    "silver": streaming_silver.start,
    "gold": streaming_gold.start,
    "alerts": streaming_to_postgres.start,
}


def run(names: Sequence[str]) -> int:
    """Run the named streams; returns the exit code."""
    unknown = [name for name in names if name not in STARTS]
    if unknown or not names:
        sys.stderr.write(f"usage: streaming_application.py STREAM...; streams: {' '.join(STARTS)}\n")
        return 2
    return main({name: STARTS[name] for name in names})


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))

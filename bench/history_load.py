"""A load of history: rows per second of each stage.

`python -m bench.history_load [rows]` writes files with the generator, starts a PostgreSQL of its own, and runs the
real job, `spark_jobs/medallion_history.py`, on an empty lake.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_services.embedded import jars
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.java import find_java
from medallion_services.embedded.spark_conf import write_spark_conf
from medallion_services.embedded.throwaway import own_database
from medallion_services.generator.timeline import Plan, Timeline
from medallion_services.generator.world import World

CUSTOMERS, DAYS, ROWS_PER_FILE = 20_000, 60, 250_000
DAY = 86_400
_START = 1_767_225_600.0
"""2026-01-01, UTC."""


def write_files(settings: Settings, folder: Path, rows: int) -> int:
    """Two months of traffic as JSON Lines; returns the bytes written."""
    world = World(1, CUSTOMERS, CUSTOMERS, settings.token_key())
    timeline = Timeline(world, Plan(rows / (DAYS * DAY), 1, fraud_share=0.01, run_id="bench"))
    count = size = 0
    file = (folder / "0000.jsonl").open("wb")
    for emission in timeline.emissions(_START, _START + 10 * DAYS * DAY):
        if emission.topic != "transactions":
            continue
        if count and count % ROWS_PER_FILE == 0:
            file.close()
            file = (folder / f"{count // ROWS_PER_FILE:04d}.jsonl").open("wb")
        size += file.write(emission.value + b"\n")
        count += 1
        if count == rows:
            break
    file.close()
    return size


def main(rows: int) -> int:
    """One load; prints what the job says, and how long it took."""
    with own_database() as settings:
        java = find_java(settings)
        jars.fetch(settings, java)
        write_spark_conf(settings)
        folder = settings.data_dir / "files"
        folder.mkdir()
        size = write_files(settings, folder, rows)
        sys.stdout.write(f"{rows} rows, {size / 1e6:.0f} MB, load average {os.getloadavg()[0]:.1f}\n")
        script = PROJECT_ROOT / "spark_jobs" / "medallion_history.py"
        argv = [sys.executable, str(script), "--source", str(folder), "--load", "bench"]
        started = time.monotonic()
        ended = subprocess.run(argv, env=stack_environment(settings, java_home=java.home), check=False)
        # No CPU time: the JVM is not waited for by this process's child, so RUSAGE_CHILDREN lacks it.
        sys.stdout.write(f"{time.monotonic() - started:.0f} s in all\n")
        return ended.returncode


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 500_000))

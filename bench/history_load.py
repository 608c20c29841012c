"""A load of history: rows per second of each stage, and of the batch design before it on the same files.

`python -m bench.history_load [rows]` writes files with the generator, starts a PostgreSQL of its own, runs the real
job, `spark_jobs/medallion_history.py`, on an empty lake, and then `bench/origin_batch.py`.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg

from bench.origin_batch import SCHEMA
from bench.traffic import world_of
from bench.tree_cpu import TreeCpu
from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_services.database.prepare import admin_parameters
from medallion_services.embedded import jars
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.java import find_java
from medallion_services.embedded.spark_conf import write_spark_conf
from medallion_services.embedded.throwaway import own_database
from medallion_services.generator.timeline import Plan, Timeline

RESULT = PROJECT_ROOT / "bench" / "results" / "history_load.json"
CUSTOMERS, DAYS, ROWS_PER_FILE = 20_000, 60, 250_000
DAY = 86_400
_START = 1_767_225_600.0
"""2026-01-01, UTC."""


def write_files(settings: Settings, folder: Path, rows: int) -> int:
    """Two months of traffic as JSON Lines; returns the bytes written."""
    world = world_of(settings, CUSTOMERS)
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


def timed(argv: list[str], environment: dict[str, str]) -> tuple[dict[str, Any], str]:
    """Run a command to its end: wall and CPU seconds of all its processes, and what it wrote to either stream."""
    load, started = os.getloadavg()[0], time.monotonic()
    with subprocess.Popen(
        argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process, TreeCpu(process.pid) as cpu:  # fmt: skip
        said = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise RuntimeError(f"{argv} ended with {process.returncode}: {said[-3000:]}")
    figures = {"seconds": time.monotonic() - started, "cpu_seconds": cpu.seconds}
    return {name: round(value, 1) for name, value in figures.items()} | {"load_average": round(load, 1)}, said


def ours(said: str) -> dict[str, float]:
    """Seconds of each stage, from what the job says."""
    return {name: float(seconds) for name, seconds in re.findall(r"Z (\D+): ([0-9.]+) s, [0-9,]+ rows/s", said)}


def main(rows: int) -> int:
    """One load by each; prints and keeps the figures."""
    with own_database() as settings:
        java = find_java(settings)
        jars.fetch(settings, java)
        write_spark_conf(settings)
        folder = settings.data_dir / "files"
        folder.mkdir()
        size = write_files(settings, folder, rows)
        sys.stdout.write(f"{rows} rows, {size / 1e6:.0f} MB\n")
        environment = stack_environment(settings, java_home=java.home)
        script = PROJECT_ROOT / "spark_jobs" / "medallion_history.py"
        here, said = timed([sys.executable, str(script), "--source", str(folder), "--load", "bench"], environment)
        here["stages"] = ours(said)
        sys.stdout.write(f"ours: {json.dumps(here)}\n")
        with psycopg.connect(**admin_parameters(settings, settings.postgres.database)) as connection:
            connection.execute(f"CREATE SCHEMA {SCHEMA}")
        before, said = timed([sys.executable, "-m", "bench.origin_batch", str(folder)], environment)
        before["stages"] = json.loads(said.splitlines()[-1])
        sys.stdout.write(f"the design before: {json.dumps(before)}\n")
    rate = {name: rows / sum(arm["stages"].values()) for name, arm in (("ours", here), ("origin", before))}
    document = {
        "rows": rows, "bytes": size, "cpus": os.cpu_count(), "ours": here, "origin": before,
        "rows_per_second": {name: round(value) for name, value in rate.items()},
    }  # fmt: skip
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{document['rows_per_second']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 500_000))

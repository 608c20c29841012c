"""What a lake batch costs when its table has ten thousand commits: `python -m bench.growth [commits]`.

The platform's own writers add the same batches, of half a minute each, to tables of five ages: young; a hundredth of
ten thousand commits, one in ten seconds; all of these, that nobody maintained; a copy six hours after maintenance; and
young again, the noise of the measurement. Batches of all alternate, there and back, in one session that is warm, so
that neither the JIT nor the machine favours one. It takes 6 GB of disk.

They begin a day: a merge rewrites its day's file, which the commits of other days do not make larger.
"""

import json
import os
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from bench.growth_filler import SILVER, Log, append_commits, merge_commits, traffic
from bench.stack import spark_environment
from bench.tree_cpu import used
from fraud_domain.micro_batch import Batch
from fraud_domain.settings import PROJECT_ROOT, Settings
from fraud_domain.tables import TableSpec, location
from medallion_assets.defs.maintenance.lake import compact, cut_log, delete_files, shape, should_compact
from medallion_services.embedded.throwaway import fresh_settings
from spark_jobs.additive_merge import merge_additive
from spark_jobs.aggregates import METRICS, METRICS_RULE, window_metrics, windows_in_process
from spark_jobs.lake import append_once, ensure_table
from spark_jobs.schemas import table_schema

RESULT = PROJECT_ROOT / "bench" / "results" / "growth.json"
MINUTE = METRICS["minute"]
COMMITS, SECONDS_A_COMMIT = 10_000, 10
FILLER_ROWS, FILES_A_COMMIT = 100_000, 2
RATE, SECONDS_A_BATCH = 20.0, 30
WARM_UP, SETTLE, MEASURED = 30, 4, 25
"""Batches; those that settle bring the log of a table into the session, as a start of the driver does."""
YOUNG, HUNDREDTH, OLD, MAINTAINED, AGAIN = "young", "a hundredth", "old", "maintained", "young again"
COMPARED = ((OLD, YOUNG), (MAINTAINED, YOUNG), (AGAIN, YOUNG), (HUNDREDTH, YOUNG), (MAINTAINED, HUNDREDTH))
READS = 5


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch as the streams hold it when they write: silver rows, and their sums a minute."""

    silver: pa.Table
    minutes: pa.Table


@dataclass(slots=True)
class Arm:
    """Tables of one age, below a root of their own; what each batch used, by table."""

    name: str
    root: str
    spark: SparkSession
    next_batch: int = 1
    cpu: dict[str, list[float]] = field(default_factory=dict)
    wall: dict[str, list[float]] = field(default_factory=dict)

    def write(self, batch: Rows) -> None:
        """One batch into both tables, measured."""
        with self._measured(SILVER):
            append_once(batch.silver, self.root, SILVER, _batch(self.next_batch))
        with self._measured(MINUTE):
            merge_additive(self.spark, batch.minutes, self.root, MINUTE, METRICS_RULE, _batch(self.next_batch))
        self.next_batch += 1

    @contextmanager
    def _measured(self, spec: TableSpec) -> Iterator[None]:
        before, started = used(), time.monotonic()
        yield
        self.wall.setdefault(spec.full_name, []).append(time.monotonic() - started)
        self.cpu.setdefault(spec.full_name, []).append(used() - before)


def _batch(number: int) -> Batch:
    return Batch("bench", "growth", number)


@contextmanager
def session() -> Iterator[tuple[SparkSession, Settings]]:
    """Spark as the lake's driver has it; no server is needed."""
    with fresh_settings() as settings:
        spark_environment(settings)
        spark = SparkSession.builder.appName("bench-growth").getOrCreate()
        spark.sparkContext.setLogLevel("ERROR")
        try:
            yield spark, settings
        finally:
            spark.stop()


def batches_of(rows: pa.Table) -> list[Rows]:
    """Batches in memory, as a stream has taken them from Spark when it writes."""
    size = int(RATE * SECONDS_A_BATCH)
    slices = (rows.slice(first, size) for first in range(0, rows.num_rows - size, size))
    return [Rows(silver, windows_in_process(silver)["minute"]) for silver in slices]


def make_arm(spark: SparkSession, settings: Settings, name: str) -> Arm:
    """Empty tables."""
    arm = Arm(name, str(settings.data_dir / "ages" / name.replace(" ", "_")), spark)
    for spec in (SILVER, MINUTE):
        ensure_table(spark, arm.root, spec)
    return arm


def age(spark: SparkSession, settings: Settings, arm: Arm, commits: int, until: float) -> None:
    """Write the commits of the past."""
    span = commits * SECONDS_A_COMMIT
    start = until - span
    silver = traffic(spark, settings, start, span, FILLER_ROWS / (COMMITS * SECONDS_A_COMMIT))
    minutes = window_metrics(spark.createDataFrame(silver, table_schema(SILVER)), "minute")
    sums = minutes.select(*MINUTE.column_names).toArrow().sort_by("window_start")
    logs = {spec: Log.of(arm.root, spec, _batch(0).app_id(spec.full_name)) for spec in (SILVER, MINUTE)}
    for log in logs.values():
        # Also what the platform's own writer committed a minute ago: clean-up goes by the first that is young.
        for entry in (log.path / "_delta_log").iterdir():
            os.utime(entry, (start, start))
    append_commits(logs[SILVER], silver, commits, start, span, FILES_A_COMMIT)
    merge_commits(logs[MINUTE], sums, commits, start, span)
    arm.next_batch = 2 * commits


def _linked(source: str, target: str) -> None:
    """A second name for a file: Delta never changes one, but for the pointer to the newest checkpoint."""
    if Path(source).name == "_last_checkpoint":
        shutil.copy2(source, target)
    else:
        os.link(source, target)


def delta_of(arm: Arm, spec: TableSpec) -> DeltaTable:
    """A table as it is now."""
    return DeltaTable(location(arm.root, spec))


def state(arm: Arm, spec: TableSpec) -> dict[str, int]:
    """Version, files that a reader opens, files there are, and the size of the log."""
    folder = Path(location(arm.root, spec))
    log = [path for path in (folder / "_delta_log").iterdir() if path.is_file()]
    delta = delta_of(arm, spec)
    return {
        "version": delta.version(), "active_files": shape(delta).files,
        "files_on_disk": sum(1 for _ in folder.rglob("*.parquet")) - sum(path.suffix == ".parquet" for path in log),
        "log_files": len(log), "log_bytes": sum(path.stat().st_size for path in log),
    }  # fmt: skip


def removed_earlier(commit: Path) -> None:
    """Let the files that a commit removed have been removed seven hours ago: the log keeps their names for six."""
    then = str(int((time.time() - 7 * 3_600) * 1_000))
    text = re.sub(r'(?<="deletionTimestamp":)\d+', then, commit.read_text(encoding="utf-8"))
    # A new file: the copied table shares its files with the one it was copied from.
    commit.unlink()
    commit.write_text(text, encoding="utf-8")


def maintain(arm: Arm) -> dict[str, Any]:
    """What the job `lake_maintenance` does with a table, and what it takes."""
    done = {}
    for spec in (SILVER, MINUTE):
        before, cpu, started = state(arm, spec), used(), time.monotonic()
        delta = delta_of(arm, spec)
        compacted = compact(delta) if should_compact(spec, shape(delta)) else 0
        removed_earlier(Path(location(arm.root, spec), "_delta_log", f"{delta_of(arm, spec).version():020d}.json"))
        cut_log(delta_of(arm, spec))
        deleted = delete_files(spec, delta_of(arm, spec))
        took = {"seconds": round(time.monotonic() - started, 1), "cpu_seconds": round(used() - cpu, 1)}
        figures = {"files_compacted": compacted, "files_deleted": deleted, "before": before, "after": state(arm, spec)}
        done[spec.full_name] = took | figures
    return done


def point_read(arm: Arm, customer: str, day: datetime) -> float:
    """Median milliseconds of a customer's day, by DuckDB over Delta, as the platform's checks read; opened anew."""
    times = []
    for _ in range(READS):
        started = time.monotonic()
        with duckdb.connect(config={"threads": 2}) as connection:
            connection.register("silver", delta_of(arm, SILVER).to_pyarrow_dataset())
            query = "SELECT count(*) FROM silver WHERE event_date = ? AND customer_id = ?"
            connection.execute(query, [day.date(), customer]).fetchall()
        times.append(time.monotonic() - started)
    return round(statistics.median(times) * 1000, 1)


def figures_of(arm: Arm) -> dict[str, dict[str, float]]:
    """Mean and median of the measured batches, in milliseconds."""
    found: dict[str, dict[str, float]] = {}
    for kind, used_by in (("cpu", arm.cpu), ("wall", arm.wall)):
        for name, values in used_by.items():
            for middle in (statistics.mean, statistics.median):
                of = found.setdefault(name, {})
                of[f"{kind}_{middle.__name__}_ms"] = round(middle(values[-MEASURED:]) * 1000, 1)
    return found


def alternate(arms: list[Arm], batches: list[Rows], say: Callable[[str], None]) -> None:
    """The same batches into all, there and back."""
    for number in range(SETTLE + MEASURED):
        for arm in arms if number % 2 == 0 else reversed(arms):
            arm.write(batches[number])
        if number % 10 == 9:
            say(f"{number + 1} batches")


def main(commits: int) -> int:
    """All ages in one session; prints and keeps the figures."""
    begun, load = time.monotonic(), os.getloadavg()[0]

    def say(what: str) -> None:
        sys.stdout.write(f"{time.monotonic() - begun:5.0f} s, load {os.getloadavg()[0]:.1f}: {what}\n")
        sys.stdout.flush()

    with session() as (spark, settings):
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        seconds = SECONDS_A_BATCH * (SETTLE + MEASURED + 2)
        live = traffic(spark, settings, today.timestamp(), seconds, RATE)
        batches = batches_of(live)
        arms = {name: make_arm(spark, settings, name) for name in (YOUNG, HUNDREDTH, OLD, AGAIN)}
        say("traffic is made")
        warm = make_arm(spark, settings, "warm-up")
        for number in range(WARM_UP):
            warm.write(batches[number])
        say("warm")
        for name, many in ((HUNDREDTH, commits // 100), (OLD, commits)):
            arms[name].write(batches[0])
            age(spark, settings, arms[name], many, today.timestamp())
        arms[MAINTAINED] = Arm(MAINTAINED, str(settings.data_dir / "ages" / MAINTAINED), spark, arms[OLD].next_batch)
        shutil.copytree(arms[OLD].root, arms[MAINTAINED].root, copy_function=_linked)
        say(f"{commits} commits are made")
        maintenance = maintain(arms[MAINTAINED])
        say(f"maintenance: {json.dumps(maintenance)}")
        alternate([arms[name] for name in (YOUNG, HUNDREDTH, OLD, MAINTAINED, AGAIN)], batches, say)
        customer = live["customer_id"][0].as_py()
        found: dict[str, dict[str, Any]] = {
            name: {"tables": figures_of(arm), "point_read_ms": point_read(arm, customer, today)}
            | {"state": {spec.full_name: state(arm, spec) for spec in (SILVER, MINUTE)}}
            for name, arm in arms.items()
        }
    ratios = {
        f"{name} / {base}": {
            table: {kind: round(value / found[base]["tables"][table][kind], 3) for kind, value in of.items()}
            for table, of in found[name]["tables"].items()
        }
        for name, base in COMPARED
    }
    document = {
        "cpus": os.cpu_count(), "load_average": round(load, 1), "commits": commits, "batches": MEASURED,
        "seconds": round(time.monotonic() - begun), "ages": found, "maintenance": maintenance, "ratios": ratios,
    }  # fmt: skip
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(ratios, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else COMMITS))

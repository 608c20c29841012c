"""What a lake batch costs when its table has ten thousand commits: `python -m bench.growth [commits]`.

The platform's own writers add the same batches, of half a minute each, to tables of four ages: young; ten thousand
commits over ten days that nobody maintained; a copy of these that maintenance has just been over; and young again, the
noise of the measurement. Batches of the four alternate, there and back, in one session that is warm, so that neither
the JIT nor the machine favours one. Each has one checkpoint among the measured batches. It takes 6 GB of disk.

They begin a day: a merge rewrites its day's file, which the commits of other days do not make larger.
"""

import json
import os
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
import psutil
import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from bench.growth_filler import Log, append_commits, merge_commits
from fraud_domain.settings import PROJECT_ROOT, Settings
from fraud_domain.tables import TableSpec, location, table
from fraud_domain.topics import TRANSACTIONS
from medallion_assets.defs.maintenance.lake import clean, compact, shape, should_compact
from medallion_services.embedded import jars
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.java import find_java
from medallion_services.embedded.spark_conf import write_spark_conf
from medallion_services.embedded.throwaway import fresh_settings
from medallion_services.generator.timeline import Plan, Timeline
from medallion_services.generator.world import World
from spark_jobs.aggregates import METRICS, METRICS_RULE, window_metrics
from spark_jobs.contract import TimeLimits, parse_transactions
from spark_jobs.lake import append_once, ensure_table, merge_additive
from spark_jobs.micro_batch import Batch
from spark_jobs.schemas import table_schema

RESULT = PROJECT_ROOT / "bench" / "results" / "growth.json"
SILVER, MINUTE, RAW = table("silver.transactions"), METRICS["minute"], table("bronze.transactions")
COMMITS, DAYS, DAY = 10_000, 10, 86_400
"""Ten days, so that three are older than maintenance keeps removed files."""
FILLER_ROWS, CUSTOMERS, FILES_A_COMMIT = 100_000, 3_000, 2
RATE, SECONDS_A_BATCH = 20.0, 30
WARM_UP, SETTLE, MEASURED = 30, 4, 50
"""Batches; those that settle bring the log of a table into the session, as a start of the driver does."""
YOUNG, OLD, MAINTAINED, AGAIN = "young", "old", "maintained", "young again"
READS = 5


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch as the streams hold it when they write: silver rows, and their sums a minute."""

    silver: DataFrame
    minutes: DataFrame


@dataclass(slots=True)
class Arm:
    """Tables of one age, below a root of their own; what each batch used, by table."""

    name: str
    root: str
    next_batch: int = 1
    cpu: dict[str, list[float]] = field(default_factory=dict)
    wall: dict[str, list[float]] = field(default_factory=dict)

    def write(self, batch: Rows) -> None:
        """One batch into both tables, measured."""
        with self._measured(SILVER):
            append_once(batch.silver, self.root, SILVER, _batch(self.next_batch))
        with self._measured(MINUTE):
            merge_additive(batch.minutes, self.root, MINUTE, METRICS_RULE, _batch(self.next_batch))
        self.next_batch += 1

    @contextmanager
    def _measured(self, spec: TableSpec) -> Iterator[None]:
        before, started = used(), time.monotonic()
        yield
        self.wall.setdefault(spec.full_name, []).append(time.monotonic() - started)
        self.cpu.setdefault(spec.full_name, []).append(used() - before)


def _batch(number: int) -> Batch:
    return Batch("bench", "growth", number)


def used() -> float:
    """CPU seconds of this process and those below it, which are Spark's."""
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return sum(each.user + each.system for each in times)


@contextmanager
def session() -> Iterator[tuple[SparkSession, Settings]]:
    """Spark as the lake's driver has it; no server is needed."""
    with fresh_settings() as settings:
        java = find_java(settings)
        jars.fetch(settings, java)
        write_spark_conf(settings)
        os.environ.update(stack_environment(settings, java_home=java.home))
        spark = SparkSession.builder.appName("bench-growth").getOrCreate()
        spark.sparkContext.setLogLevel("ERROR")
        try:
            yield spark, settings
        finally:
            spark.stop()


def traffic(spark: SparkSession, settings: Settings, start: float, seconds: float, rate: float) -> pa.Table:
    """Silver rows of some time of the generator's traffic, by the platform's own parser, in order of arrival."""
    world = World(1, CUSTOMERS, CUSTOMERS, settings.token_key())
    timeline = Timeline(world, Plan(rate, 1, fraud_share=0.02, run_id=f"growth{start}"))
    emissions = [e for e in timeline.emissions(start, start + seconds) if e.topic == TRANSACTIONS]
    sent = [datetime.fromtimestamp(emission.send_at, UTC) for emission in emissions]
    moments = pa.array(sent, pa.timestamp("us", "UTC"))
    columns = {
        "topic": [TRANSACTIONS] * len(sent), "partition": pa.array([0] * len(sent), pa.int32()),
        "offset": list(range(len(sent))), "kafka_timestamp": moments,
        "key": [emission.key for emission in emissions], "value": [emission.value for emission in emissions],
        "card_masked": [False] * len(sent), "ingested_at": moments, "ingest_date": [moment.date() for moment in sent],
    }  # fmt: skip
    raw = spark.createDataFrame(pa.table(columns), table_schema(RAW))
    limits = TimeLimits(settings.streams.late_after, settings.streams.future_tolerance)
    valid = parse_transactions(raw, limits).where("errors IS NULL").select(*SILVER.column_names)
    return valid.toArrow().sort_by("offset")


def batches_of(spark: SparkSession, rows: pa.Table) -> list[Rows]:
    """Batches in the session's memory, as a stream has persisted them when it writes."""
    size = int(RATE * SECONDS_A_BATCH)
    made = []
    for first in range(0, rows.num_rows - size, size):
        silver = spark.createDataFrame(rows.slice(first, size), table_schema(SILVER)).persist()
        minutes = window_metrics(silver, "minute").persist()
        silver.count()
        minutes.count()
        made.append(Rows(silver, minutes))
    return made


def make_arm(spark: SparkSession, settings: Settings, name: str) -> Arm:
    """Empty tables."""
    arm = Arm(name, str(settings.data_dir / "ages" / name.replace(" ", "_")))
    for spec in (SILVER, MINUTE):
        ensure_table(spark, arm.root, spec)
    return arm


def age(spark: SparkSession, settings: Settings, arm: Arm, commits: int, until: float) -> None:
    """Write the commits of the past."""
    start = until - DAYS * DAY
    silver = traffic(spark, settings, start, DAYS * DAY, FILLER_ROWS / (DAYS * DAY))
    minutes = window_metrics(spark.createDataFrame(silver, table_schema(SILVER)), "minute")
    sums = minutes.select(*MINUTE.column_names).toArrow().sort_by("window_start")
    logs = {spec: Log.of(arm.root, spec, _batch(0).app_id(spec.full_name)) for spec in (SILVER, MINUTE)}
    append_commits(logs[SILVER], silver, commits, start, DAYS * DAY, FILES_A_COMMIT)
    merge_commits(logs[MINUTE], sums, commits, start, DAYS * DAY)
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


def maintain(arm: Arm) -> dict[str, Any]:
    """What the job `lake_maintenance` does with a table, and what it takes."""
    done = {}
    for spec in (SILVER, MINUTE):
        before, cpu, started = state(arm, spec), used(), time.monotonic()
        delta = delta_of(arm, spec)
        compacted = compact(delta) if should_compact(spec, shape(delta)) else 0
        deleted = clean(delta)
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
        batches = batches_of(spark, live)
        arms = {name: make_arm(spark, settings, name) for name in (YOUNG, OLD, AGAIN)}
        say("traffic is made")
        warm = make_arm(spark, settings, "warm-up")
        for number in range(WARM_UP):
            warm.write(batches[number])
        say("warm")
        arms[OLD].write(batches[0])
        age(spark, settings, arms[OLD], commits, today.timestamp())
        arms[MAINTAINED] = Arm(MAINTAINED, str(settings.data_dir / "ages" / MAINTAINED), arms[OLD].next_batch)
        shutil.copytree(arms[OLD].root, arms[MAINTAINED].root, copy_function=_linked)
        say(f"{commits} commits are made")
        maintenance = maintain(arms[MAINTAINED])
        say(f"maintenance: {json.dumps(maintenance)}")
        alternate([arms[name] for name in (YOUNG, OLD, MAINTAINED, AGAIN)], batches, say)
        customer = live["customer_id"][0].as_py()
        found: dict[str, dict[str, Any]] = {
            name: {"tables": figures_of(arm), "point_read_ms": point_read(arm, customer, today)}
            | {"state": {spec.full_name: state(arm, spec) for spec in (SILVER, MINUTE)}}
            for name, arm in arms.items()
        }
    ratios = {
        f"{name} / {YOUNG}": {
            table: {kind: round(value / found[YOUNG]["tables"][table][kind], 3) for kind, value in of.items()}
            for table, of in found[name]["tables"].items()
        }
        for name in (OLD, MAINTAINED, AGAIN)
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

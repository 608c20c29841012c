"""What an event costs: CPU of each lane and server, bytes it leaves behind; `python -m bench.cost`; of the direct
alert lane, `python -m bench.cost direct`.

Each lane runs as its own driver, as Dagster starts it, one after the other on the same topics. It reads what was sent
before to warm up; what is sent then is measured, from its first message sent to its last one written. What
`docs/scale.md` reckons with comes from here.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pyarrow as pa
from deltalake import DeltaTable

from bench.sizing import COSTS
from bench.stack import driver, servers
from bench.traffic import send_days, world_of
from bench.tree_cpu import TreeCpu
from fraud_domain.settings import AlertLane, Layout, Settings
from fraud_domain.streams import applications
from fraud_domain.tables import TABLES
from fraud_domain.topics import ACCOUNT_EVENTS, FRAUD_LABELS, TRANSACTIONS
from medallion_assets.defs.streams.supervisor import command
from medallion_assets.platform import Platform
from medallion_services.database.prepare import admin_parameters
from medallion_services.generator.producer import KafkaSink
from medallion_services.generator.world import World

APPLICATIONS = {application.name: application for application in applications(Layout.TWO)}
READ_BY: dict[str, dict[str, tuple[str, ...]]] = {
    "alerts": {"alerts.decide": (TRANSACTIONS, ACCOUNT_EVENTS), "alerts.decide_others": (TRANSACTIONS, FRAUD_LABELS)},
    "direct": {"alerts.decide": (TRANSACTIONS, ACCOUNT_EVENTS, FRAUD_LABELS)},
    "lake": {name: (TRANSACTIONS,) for name in ("bronze.transactions", "silver.transactions", "gold.metrics")},
}
"""The lanes; the queries of each that see every transaction, and the topics whose messages they count."""
BOTH = ("alerts", "lake")
"""What the whole measurement is of, in this order. `direct` is the alert lane in another way, and measured alone."""
CUSTOMERS, WARM_UP, MEASURED, FRAUD_SHARE = 20_000, 30_000, 60_000, 0.02
DAYS, DAYS_AGO = 0.5, {"warm-up": 2.0, "alerts": 1.5, "direct": 1.5, "lake": 1.0}
"""Half a day each: a window of time holds many events, as it does when much happens."""
_READ = "SELECT query, sum(input_rows)::bigint FROM fraud.stream_progress GROUP BY query"
_PATIENCE_SECONDS = 900.0


def wait_until_read(connection: psycopg.Connection[Any], lane: str, sent: Counter[str]) -> None:
    """Return when every query of the lane has read all that its topics got.

    Raises:
        TimeoutError: one has not within a quarter of an hour.
    """
    wanted = {query: sum(sent[topic] for topic in topics) for query, topics in READ_BY[lane].items()}
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while True:
        found = dict(connection.execute(_READ).fetchall())
        behind = {query: (found.get(query, 0), rows) for query, rows in wanted.items() if found.get(query, 0) < rows}
        if not behind:
            return
        if time.monotonic() > give_up:
            raise TimeoutError(f"not read after {_PATIENCE_SECONDS:.0f} s: {behind}")
        time.sleep(1)


@contextmanager
def server_cpu() -> Iterator[dict[str, TreeCpu]]:
    """CPU of the broker and of PostgreSQL, which are children of this process."""
    with ExitStack() as stack:
        watched = {}
        for child in psutil.Process().children():
            name = {"java": "kafka"}.get(child.name(), child.name())
            if name in ("kafka", "postgres"):
                watched[name] = stack.enter_context(TreeCpu(child.pid))
        yield watched


def measure(
    settings: Settings,
    sink: KafkaSink,
    connection: psycopg.Connection[Any],
    world: World,
    lane: str,
    sent: Counter[str],
) -> dict[str, Any]:
    """Microseconds of CPU an event, by process, and events a second, of one lane; adds to what was `sent`."""
    direct = lane == "direct"
    argv = command(APPLICATIONS["alerts" if direct else lane], AlertLane.DIRECT if direct else AlertLane.SPARK)
    with (
        driver(settings, lane, argv) as pid,
        TreeCpu(pid) as cpu,
        server_cpu() as servers_cpu,
    ):
        wait_until_read(connection, lane, sent)

        def used() -> dict[str, float]:
            parts = {f"driver_{program}": cpu.seconds_of(program) for program in ("java", "python")}
            return {"driver": cpu.seconds} | parts | {name: each.seconds for name, each in servers_cpu.items()}

        before = used()
        load, started = os.getloadavg()[0], time.monotonic()
        fresh = send_days(sink, world, MEASURED, DAYS_AGO[lane], DAYS, FRAUD_SHARE)
        sending = time.monotonic() - started
        sent += fresh
        wait_until_read(connection, lane, sent)
        took = time.monotonic() - started
        time.sleep(1)
        rows = fresh[TRANSACTIONS]
        cost = {f"{name}_us": round((seconds - before[name]) / rows * 1e6, 1) for name, seconds in used().items()}
    return {
        "rows": rows, "seconds": round(took, 1), "sending_seconds": round(sending, 1),
        "rows_per_second": round(rows / took), "load_average": round(load, 1),
    } | cost  # fmt: skip


def bytes_of(folder: Path) -> int:
    """Size of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def kept(delta: DeltaTable) -> dict[str, int]:
    """Rows, bytes and files of a table as it is."""
    actions = pa.table(delta.get_add_actions(flatten=True)).to_pydict()
    return {"rows": sum(actions["num_records"]), "bytes": sum(actions["size_bytes"]), "files": len(actions["path"])}


def sizes(settings: Settings, connection: psycopg.Connection[Any], rows: int) -> dict[str, Any]:
    """Bytes an event leaves in each store."""
    topics = [path for path in settings.data_dir.glob("kafka/**/transactions-*") if path.is_dir()]
    platform = Platform(settings)
    lake = {spec.full_name: kept(delta) for spec in TABLES if (delta := platform.delta(spec)) is not None}
    state = [path for path in settings.data_dir.glob("checkpoints/**/state") if path.is_dir()]
    tables = connection.execute(
        "SELECT relname, pg_total_relation_size(relid), n_live_tup FROM pg_stat_user_tables"
        " WHERE schemaname = 'fraud' AND n_live_tup > 100 ORDER BY 2 DESC LIMIT 8"
    )
    return {
        "events": rows, "kafka_bytes": sum(map(bytes_of, topics)), "lake": lake, "customers": CUSTOMERS,
        "state_bytes": {str(path.relative_to(settings.data_dir)): bytes_of(path) for path in state},
        "postgres": {name: {"bytes": size, "rows": count} for name, size, count in tables},
    }  # fmt: skip


def main(only: list[str]) -> int:
    """The lanes named, or both; prints the figures and keeps them if it were both."""
    with servers() as settings, KafkaSink(settings) as sink:
        connected = admin_parameters(settings, settings.postgres.database)
        with psycopg.connect(**connected, autocommit=True) as connection:
            lanes, world = {}, world_of(settings, CUSTOMERS)
            sent = send_days(sink, world, WARM_UP, DAYS_AGO["warm-up"], DAYS, FRAUD_SHARE)
            for lane in only or BOTH:
                lanes[lane] = measure(settings, sink, connection, world, lane, sent)
                sys.stdout.write(f"{lane}: {json.dumps(lanes[lane])}\n")
                sys.stdout.flush()
            if only:
                return 0
            left = sizes(settings, connection, sent[TRANSACTIONS])
    document = {"cpus": os.cpu_count(), "lanes": lanes, "left": left}
    COSTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(left, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

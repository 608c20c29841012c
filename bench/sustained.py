"""The whole platform at one rate for some minutes: `python -m bench.sustained`.

The direct alert lane and the lake run side by side, as Dagster starts them, on traffic that flows at its intended
times, which are Kafka's timestamps. Of each minute: from there to the row's visibility in bronze, silver, gold and
among the alerts, and CPU of each process and server. A row of bronze or silver is visible with its commit (the time of
the log's file), one of gold when its batch is done in the tables and marts of window metrics (profiles follow every
30 s). The first minutes compile; they are shown, and are no part of the summary.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow.parquet as pq

from bench.cost import APPLICATIONS, server_cpu
from bench.rounds import asked
from bench.stack import driver, servers
from bench.traffic import flowing
from bench.tree_cpu import TreeCpu
from fraud_domain.settings import PROJECT_ROOT, AlertLane, Settings
from fraud_domain.streams import checkpoint_path
from fraud_domain.tables import location, table
from medallion_assets.defs.streams.supervisor import command

RESULT = PROJECT_ROOT / "bench" / "results" / "sustained.json"
BRONZE, SILVER = table("bronze.transactions"), table("silver.transactions")
_ALERTS = "SELECT extract(epoch FROM kafka_timestamp), extract(epoch FROM detected_at) FROM fraud.alerts"
LANES = ("lake", "alerts")
_PATIENCE_SECONDS = 300.0
Seen = tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]
"""When each row was sent, and when it was there, in seconds of the epoch."""


def times_of(files: list[Path]) -> "np.ndarray[Any, Any]":
    """Kafka's timestamps of the rows of some data files, in seconds."""
    parts = [pq.read_table(file, columns=["kafka_timestamp"])["kafka_timestamp"].to_numpy() for file in files]
    return np.concatenate(parts).astype("datetime64[us]").astype(np.int64) / 1e6 if parts else np.empty(0)


def commits(root: Path) -> Iterator[tuple[int, float, list[Path]]]:
    """Version, time of commit and added files of each commit that appended rows, oldest first."""
    for entry in sorted((root / "_delta_log").glob("*.json")):
        actions = [json.loads(line) for line in entry.read_text(encoding="utf-8").splitlines()]
        added = [root / unquote(action["add"]["path"]) for action in actions if "add" in action]
        if added:
            yield int(entry.stem), entry.stat().st_mtime, added


def seen_at(moments: Iterable[tuple[float, list[Path]]]) -> Seen:
    """Rows of some files, each file with the moment when its rows were there."""
    sent, seen = [np.empty(0)], [np.empty(0)]
    for moment, files in moments:
        sent.append(times_of(files))
        seen.append(np.full(len(sent[-1]), moment))
    return np.concatenate(sent), np.concatenate(seen)


def seen_in(root: Path) -> Seen:
    """Rows of an append-only table."""
    return seen_at((moment, files) for _, moment, files in commits(root))


def batches_done(checkpoint: Path) -> list[tuple[int, float]]:
    """First version of the source that a batch did not read, and when the batch was done, oldest first."""
    done = []
    for entry in sorted((checkpoint / "commits").iterdir(), key=lambda path: (len(path.name), path.name)):
        if entry.name.isdigit():
            last = json.loads((checkpoint / "offsets" / entry.name).read_text(encoding="utf-8").splitlines()[-1])
            done.append((last["reservoirVersion"] + (last["index"] >= 0), entry.stat().st_mtime))
    return done


def seen_in_gold(silver: Path, checkpoint: Path) -> Seen:
    """Rows of silver, and when the metrics had them."""
    done = batches_done(checkpoint)
    moments = ((next((at for end, at in done if end > version), None), files) for version, _, files in commits(silver))
    return seen_at((moment, files) for moment, files in moments if moment is not None)


def seen_of(settings: Settings) -> dict[str, Seen]:
    """By what the rows are visible in."""
    bronze, silver = (Path(location(settings.lake_root, spec)) for spec in (BRONZE, SILVER))
    alerts = np.array(asked(settings, _ALERTS, ()), dtype=float).reshape(-1, 2)
    metrics = Path(checkpoint_path(settings, "gold", "metrics"))
    lake = {"bronze": seen_in(bronze), "silver": seen_in(silver)} | (
        {"gold": seen_in_gold(silver, metrics)} if metrics.exists() else {}
    )
    return lake | {"alerts": (alerts[:, 0], alerts[:, 1])}


def delays(seen: dict[str, Seen], since: float, until: float) -> dict[str, Any]:
    """Rows sent in a span of time, and percentiles of their way, in seconds."""
    found = {}
    for name, (sent, there) in seen.items():
        chosen = (sent >= since) & (sent < until)
        cuts = np.percentile((there - sent)[chosen], (50, 99)) if chosen.any() else (None, None)
        found[name] = {"rows": int(chosen.sum())} | {
            key: None if cut is None else round(float(cut), 3) for key, cut in zip(("p50", "p99"), cuts, strict=True)
        }
    return found


def wait_until_seen(settings: Settings, moment: float) -> None:
    """Return when gold has what was sent until then.

    Raises:
        TimeoutError: it has not within five minutes.
    """
    give_up = time.monotonic() + _PATIENCE_SECONDS
    silver, checkpoint = Path(location(settings.lake_root, SILVER)), Path(checkpoint_path(settings, "gold", "metrics"))
    while seen_in_gold(silver, checkpoint)[0].max(initial=0.0) < moment:
        if time.monotonic() > give_up:
            raise TimeoutError(f"gold is more than {_PATIENCE_SECONDS:.0f} s behind")
        time.sleep(2)


def watched(
    settings: Settings, used: dict[str, TreeCpu], rate: float, customers: int, minutes: int
) -> list[tuple[float, dict[str, float], float]]:
    """Time, CPU seconds by process and load, while traffic flows: at its start and after each minute."""

    def mark() -> tuple[float, dict[str, float], float]:
        cpu = {name: each.seconds for name, each in (used | {"generator": generator}).items()}
        return time.time(), cpu, os.getloadavg()[0]

    with flowing(settings, rate, customers, 60.0 * minutes) as pid, TreeCpu(pid) as generator:
        marks = [mark()]
        for _ in range(minutes):
            time.sleep(max(0.0, marks[0][0] + 60 * len(marks) - time.time()))
            marks.append(mark())
    return marks


def run(
    rate: float, customers: int, minutes: int, warm_up: int, lanes: list[str], streams: dict[str, Any]
) -> dict[str, Any]:
    """All minutes, and what holds from `warm_up` minutes on."""
    with servers(alert_lane=AlertLane.DIRECT, **streams) as settings, ExitStack() as stack:
        used = {}
        for lane in lanes:
            pid = stack.enter_context(driver(settings, lane, command(APPLICATIONS[lane], AlertLane.DIRECT)))
            used[lane] = stack.enter_context(TreeCpu(pid))
        used |= stack.enter_context(server_cpu())
        marks = watched(settings, used, rate, customers, minutes)
        if "lake" in lanes:
            wait_until_seen(settings, marks[-1][0] - 1)
        behind = time.time() - marks[-1][0]
        seen = seen_of(settings)

    def span(first: int, last: int) -> dict[str, Any]:
        (since, before, _), (until, after, load) = marks[first], marks[last]
        found = delays(seen, since, until)
        rows = found["bronze"]["rows"] or round(rate * (until - since))
        cost = {name: round((after[name] - before[name]) / max(rows, 1) * 1e6) for name in after}
        return {"seconds": found, "rows_per_second": round(rows / (until - since)), "cpu_us_an_event": cost,
                "load": round(load, 1)}  # fmt: skip

    each = [span(number, number + 1) for number in range(minutes)]
    return {"cpus": os.cpu_count(), "rate": rate, "customers": customers, "lanes": lanes, "streams": streams,
            "minutes": each, "warm": span(warm_up, minutes), "all_seen_after_seconds": round(behind, 1)}  # fmt: skip


def main() -> int:
    """Measure and print; kept is what was asked for without options."""
    parser = argparse.ArgumentParser(prog="python -m bench.sustained", description=__doc__)
    parser.add_argument("--rate", type=float, default=500.0, help="transactions a second")
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--minutes", type=int, default=8)
    parser.add_argument("--warm-up", type=int, default=5, help="minutes that the summary leaves out")
    parser.add_argument("--lanes", nargs="+", choices=LANES, default=list(LANES))
    parser.add_argument("--streams", type=json.loads, default={}, help="settings of the streams, as JSON")
    options = parser.parse_args()
    found = run(options.rate, options.customers, options.minutes, options.warm_up, options.lanes, options.streams)
    for number, minute in enumerate(found["minutes"], 1):
        sys.stdout.write(f"minute {number}: {json.dumps(minute)}\n")
    sys.stdout.write(json.dumps({key: value for key, value in found.items() if key != "minutes"}, indent=1) + "\n")
    if options == parser.parse_args([]):
        RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

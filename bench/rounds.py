"""Rounds of several arms on the same live traffic, there and back again, and what each measures."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg

from bench.stack import driver
from bench.traffic import flowing
from bench.tree_cpu import TreeCpu
from fraud_domain.settings import Settings
from medallion_services.database.prepare import admin_parameters

SECONDS = 60.0
_LAST = 20.0
_TRAFFIC_A_ROUND = 150.0
_LATENCY = """
SELECT count(*), percentile_cont(ARRAY[0.5, 0.9, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM seen - sent) * 1000)
FROM ({}) AS a WHERE sent BETWEEN to_timestamp(%s) AND to_timestamp(%s)
"""


def asked(settings: Settings, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Rows of a query in an arm's database."""
    with psycopg.connect(**admin_parameters(settings, settings.postgres.database)) as connection:
        return connection.execute(query, values).fetchall()


def one_round(
    settings: Settings,
    name: str,
    argv: list[str],
    alerts: str,
    warm_up: Callable[[int], None],
    seconds: float = SECONDS,
) -> dict[str, Any]:
    """Start an arm, let it warm up, and measure it for some time.

    Args:
        alerts: a query of its alerts, with the times they were `sent` and `seen`.
        warm_up: returns when the arm with this pid may be measured.
    """
    with driver(settings, name, argv) as pid, TreeCpu(pid) as cpu:
        warm_up(pid)
        since, before, load = time.time(), cpu.seconds, os.getloadavg()[0]
        time.sleep(seconds)
        until, used = time.time(), cpu.seconds - before
        # What was sent at the end has still to arrive.
        time.sleep(_LAST)
    ((count, cuts),) = asked(settings, _LATENCY.format(alerts), (since, until))
    times = dict(zip(("p50_ms", "p90_ms", "p99_ms"), (round(each) for each in cuts or ()), strict=False))
    a_minute = round(used * 60 / seconds, 1)
    return {"arm": name, "alerts": count} | times | {"cpu_seconds_a_minute": a_minute, "load": round(load, 1)}


def there_and_back(
    settings: Settings, customers: int, rate: float, names: Sequence[str], measure: Callable[[str], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Each arm twice while traffic flows (A B C C B A); says each round as it comes."""
    rounds, order = [], (*names, *reversed(names))
    with flowing(settings, rate, customers, _TRAFFIC_A_ROUND * len(order)):
        for name in order:
            rounds.append(measure(name))
            sys.stdout.write(json.dumps(rounds[-1]) + "\n")
            sys.stdout.flush()
    return rounds


def document(
    rate: float, customers: int, rounds: list[dict[str, Any]], about_the_past: dict[str, Any]
) -> dict[str, Any]:
    """What is kept of a run."""
    return {
        "cpus": os.cpu_count(),
        "rate": rate,
        "customers": customers,
        "rounds": rounds,
        "alerts_about_the_past": about_the_past,
    }


def keep(result: dict[str, Any], path: Path | None) -> None:
    """Say what was alerted of the past, and write the document when all arms ran."""
    sys.stdout.write(json.dumps(result["alerts_about_the_past"]) + "\n")
    if path is not None:
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

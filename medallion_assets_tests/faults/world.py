"""The world of a fault: real servers, the product's drivers behind a proxy, traffic with known truth."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any

from fraud_domain.settings import AlertLane, Settings
from medallion_assets.defs.quality.finding import Finding
from medallion_assets_tests.faults import checker
from medallion_assets_tests.faults.drivers import ALERTS, LAKE, Driver
from medallion_assets_tests.faults.proxy import Proxy
from medallion_assets_tests.faults.servers import Server, wait_until
from medallion_assets_tests.faults.traffic import Traffic
from medallion_services.embedded import jars, kafka, postgres
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.java import find_java
from medallion_services.embedded.kafka_topics import create_topics
from medallion_services.embedded.spark_conf import write_spark_conf
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.throwaway import fresh_settings

SETTLE_SECONDS = 300.0
_PAST = timedelta(hours=30)
"""Event time begins so long ago, because it runs faster than the clock."""
_FAST: dict[str, Any] = {
    "bronze": {"interval": "3 seconds"},
    "notes": {"interval": "3 seconds"},
    "silver": {"interval": "3 seconds"},
    "gold": {"interval": "5 seconds"},
    "alerts": {"interval": "200 milliseconds"},
    "alerts_about_others": {"interval": "2 seconds"},
    "heartbeat_seconds": 1.0,
}
_KEPT_HOURS = 24 * 365 * 20
"""Event time is Kafka's time here, also that of old fixtures: retention takes nothing unless that is the fault."""
_DISK_MB = {"checkpoints": 256, "lake": 256, "postgres": 400}


class Kind(StrEnum):
    """What a fault needs: a world shared with others, one of its own, or one on small disks."""

    SHARED = "shared"
    OWN = "own"
    DISKS = "small disks"
    DIRECT = "the direct alert lane"


@dataclass(slots=True)
class World:
    """Everything that a fault may touch."""

    settings: Settings
    postgres: Server
    kafka: Server
    proxy: Proxy
    alerts: Driver
    lake: Driver
    traffic: Traffic
    random: Random
    disks: dict[str, Path] = field(default_factory=dict)
    _lifted: float = field(default_factory=time.monotonic)

    def start_drivers(self, alerts: tuple[str, ...] = (), lake: tuple[str, ...] = ()) -> None:
        """Start both, with failpoints for the first, second, ... driver of each, and wait until they run."""
        self.alerts.start(*alerts)
        self.lake.start(*lake)

    def lifted(self) -> None:
        """The fault is over: from here on the time to recover is counted."""
        self._lifted = time.monotonic()

    def settle(self, seconds: float = SETTLE_SECONDS) -> tuple[float, dict[str, str]]:
        """Wait until every check passes; returns the seconds since the fault was over, and what each says.

        Raises:
            AssertionError: one still fails after `seconds`; the message holds all that fail.
        """
        known = checker.truth(self.settings, self.traffic)
        found: list[tuple[str, Finding]] = []

        def all_pass() -> bool:
            found.clear()
            for each in checker.checks(self.settings, known):
                found.append(each)
                if not each[1].passed:
                    return False
            return True

        started = time.monotonic()
        while not all_pass():
            if time.monotonic() - started > seconds:
                failed = [f"{n}: {f.text}" for n, f in checker.checks(self.settings, known) if not f.passed]
                raise AssertionError(f"after {seconds:.0f} s still wrong: {'; '.join(failed) or found[-1]}")
            time.sleep(1.0)
        return time.monotonic() - self._lifted, {name: finding.text for name, finding in found}

    def wait_alert(self, transaction_ids: list[str], seconds: float = SETTLE_SECONDS) -> float:
        """Wait until these transactions have raised their alerts; returns how long it took."""
        from medallion_assets_tests.pipeline import database

        def there() -> bool:
            with database(self.settings) as connection:
                row = connection.execute(
                    "SELECT count(DISTINCT transaction_id) AS n FROM fraud.alerts"
                    " WHERE subject_kind = 'customer' AND transaction_id = ANY(%s)",
                    (transaction_ids,),
                ).fetchone()
            return row is not None and row["n"] == len(transaction_ids)

        return wait_until(f"alerts of {transaction_ids[:3]}", there, seconds, 0.2)


@contextmanager
def world(seed: int, kind: Kind = Kind.SHARED, partitions: int = 1, **more: Any) -> Iterator[World]:
    """Servers that run and drivers that do not yet; at the end nothing is left.

    One partition makes every decision a function of the log alone, also those about others than customers.
    """
    rules = {"history_limit": 5_000} | more.pop("rules", {})
    with ExitStack() as stack:
        topics = {"partitions": partitions, "retention_hours": _KEPT_HOURS}
        streams = _FAST | {"alert_lane": AlertLane.DIRECT if kind is Kind.DIRECT else AlertLane.SPARK}
        settings = stack.enter_context(fresh_settings(streams=streams, rules=rules, kafka=topics, **more))
        disks = _small_disks(stack, settings) if kind is Kind.DISKS else {}
        java = find_java(settings)
        jars.fetch(settings, java)
        write_spark_conf(settings)
        database = Server(postgres.component(settings), settings.log_dir / "postgres.log")
        broker = Server(kafka.component(settings, java), settings.log_dir / "kafka.log")
        for server in (database, broker):
            stack.callback(server.stop)
            server.start()
        prepare_database(settings)
        create_topics(settings)
        proxy = Proxy(settings.postgres.port)
        proxy.start()
        stack.callback(proxy.stop)
        behind = {"postgres": settings.postgres.model_dump() | {"host": "127.0.0.1", "port": proxy.port}}
        environment = stack_environment(Settings.model_validate(settings.model_dump() | behind), java_home=java.home)
        hits = settings.run_dir / "failpoints.txt"
        alerts, lake = (Driver(settings, names, environment, hits) for names in (ALERTS, LAKE))
        for driver in (alerts, lake):
            stack.callback(driver.stop)
        traffic = Traffic(settings, seed, datetime.now(UTC) - _PAST)
        yield World(settings, database, broker, proxy, alerts, lake, traffic, Random(seed), disks)


def can_mount() -> bool:
    """Whether this machine lets us mount a small disk."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


def _small_disks(stack: ExitStack, settings: Settings) -> dict[str, Path]:
    disks = {}
    for name, megabytes in _DISK_MB.items():
        path = settings.data_dir / name
        path.mkdir(exist_ok=True)
        options = f"size={megabytes}m,mode=0777"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)
        stack.callback(subprocess.run, ["umount", "--lazy", str(path)], check=True)
        disks[name] = path
    return disks

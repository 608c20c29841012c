"""Faults of the Spark driver: killed at each point where it writes, its JVM killed, frozen while another takes over."""

import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg

from fraud_domain.settings import Settings
from fraud_domain.topics import FRAUD_ALERTS, FRAUD_DECISIONS
from medallion_assets_tests.faults.drivers import ALERTS, Driver
from medallion_assets_tests.faults.fault import Fault
from medallion_assets_tests.faults.servers import wait_until
from medallion_assets_tests.faults.world import Kind, World
from medallion_assets_tests.pipeline import database
from medallion_services.database.prepare import admin_parameters
from medallion_services.embedded.processes import tree
from medallion_services.rule_sets import publish, read_rule_set
from spark_jobs.failpoints import Failpoint

_BATCH = 900.0
"""Seconds of event time that give every table something to write."""

ALERT_POINTS = (
    f"{Failpoint.BEFORE_ALERT_COMMIT}",
    f"{Failpoint.IN_ALERT_TRANSACTION}",
    f"{Failpoint.AFTER_ALERT_COMMIT}",
    f"{Failpoint.BEFORE_PUBLISH}@{FRAUD_ALERTS}",
    f"{Failpoint.AFTER_PUBLISH}@{FRAUD_DECISIONS}",
)
DIRECT_POINTS = (f"{Failpoint.BEFORE_HISTORIES}", f"{Failpoint.AFTER_HISTORIES}")
LAKE_POINTS = (
    f"{Failpoint.BEFORE_APPEND}@silver.transactions",
    f"{Failpoint.AFTER_APPEND}@silver.transactions",
    f"{Failpoint.AFTER_APPEND}@silver.quarantine",
    f"{Failpoint.AFTER_APPEND}@silver.labels",
    f"{Failpoint.BEFORE_MERGE}@gold.transaction_metrics_minute",
    f"{Failpoint.AFTER_MERGE}@gold.transaction_metrics_hour",
    f"{Failpoint.IN_MART_TRANSACTION}",
    f"{Failpoint.AFTER_MART_COMMIT}",
    f"{Failpoint.AFTER_APPEND}@gold.fraud_decisions",
    f"{Failpoint.AFTER_APPEND}@gold.fraud_alerts",
    f"{Failpoint.BEFORE_RULE_MART}",
)


def killed_at(point: str, driver_of: Callable[[World], Driver], world: World) -> str:
    """Kill -9 of the Python driver where it stands at a failpoint."""
    driver, armed = driver_of(world), f"{point}:1:kill9"
    world.traffic.put(b"broken", key=b"x")
    ended = len(driver.ended)
    # Stopped first, so that what is sent now waits for the driver that will die.
    driver.stop()
    world.traffic.send(_BATCH)
    world.traffic.probe()
    driver.start(armed)
    hit = driver.wait_hit(armed)
    died = driver.wait_ended(ended + 1)
    world.lifted()
    assert died.code == -signal.SIGKILL, f"ended with {died.code} and not by SIGKILL"
    world.wait_alert(world.traffic.probe())
    return hit


def killed_in_first_batch(world: World) -> str:
    """The first batch of a generation takes the place of what a table has: killed when one table has it."""
    armed = f"{Failpoint.AFTER_MERGE}@gold.transaction_metrics_hour:1:kill9"
    world.traffic.send(_BATCH)
    world.start_drivers(lake=(armed,))
    hit = world.lake.wait_hit(armed)
    world.lake.wait_ended(0)
    world.lifted()
    return hit


def killed_while_rules_change(world: World) -> str:
    """A new rule set is recorded for the next batch, and the driver dies before a worker has it."""
    armed = f"{Failpoint.AFTER_RULES_RECORDED}:1:kill9"
    ended = len(world.alerts.ended)
    world.alerts.arm(armed)
    world.alerts.wait_running()
    done = publish(world.settings, read_rule_set(_with_a_kiosk_more(world.settings)), "faults", "same decisions")
    assert done.anything, "the rule set is no new one"
    world.wait_alert(world.traffic.probe())
    world.traffic.send(300)
    hit = world.alerts.wait_hit(armed)
    world.alerts.wait_ended(ended + 1)
    world.lifted()
    (probe,) = world.traffic.probe()
    world.wait_alert([probe])
    with database(world.settings) as connection:
        row = connection.execute(
            "SELECT rule_set_version AS v FROM fraud.alerts WHERE transaction_id = %s", (probe,)
        ).fetchone()
    assert row is not None
    assert row["v"] == done.version, "the driver that came back does not judge by the rules that were published"
    return hit


def _with_a_kiosk_more(settings: Settings) -> Path:
    """The rules, with a list that has an entry more, which no event has: another version, the same decisions."""
    target = settings.run_dir / "rules-with-a-kiosk-more"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(settings.rules.directory, target)
    lists = target / "lists.yaml"
    kiosk = "{value: demo-kiosk-1, "
    lists.write_text(
        lists.read_text("utf-8").replace(kiosk, f"{{value: nobodys, reason: faults}}\n      - {kiosk}"), "utf-8"
    )
    return target


def jvm_killed(driver_of: Callable[[World], Driver], world: World) -> str:
    """Kill -9 of Spark's JVM below a living driver, as when memory ends."""
    driver = driver_of(world)
    driver.wait_running()
    ended = len(driver.ended)
    world.traffic.send(_BATCH)
    victim = driver.jvm()
    os.kill(victim.pid, signal.SIGKILL)
    world.lifted()
    code = driver.wait_ended(ended).code
    assert code == 1, f"a driver without its JVM ended with {code}"
    world.wait_alert(world.traffic.probe())
    return f"JVM {victim.pid} killed, driver ended with {code}"


def frozen_while_another_takes_over(world: World) -> str:
    """SIGSTOP in the middle of a batch; the database drops the sleeper, a second driver takes over; SIGCONT."""
    sleeper, armed = world.alerts, f"{Failpoint.BEFORE_ALERT_COMMIT}:1:sleep:3"
    sleeper.arm(armed)
    probes = world.traffic.probe(3)
    hit = sleeper.wait_hit(armed)
    members = tree(sleeper.pid)
    for each in members:
        os.kill(each.pid, signal.SIGSTOP)
    try:
        drop_sessions(world)
        second = Driver(world.settings, ALERTS, sleeper.environment, sleeper.hits)
        second.start()
        try:
            second.wait_running()
            world.wait_alert(probes)
            ended = len(sleeper.ended)
            for each in reversed(members):
                if (process := each.find()) is not None:
                    process.send_signal(signal.SIGCONT)
            woken = sleeper.wait_ended(ended)
            wait_until("the sleeper says that it was fenced", lambda: sleeper.said("this driver holds epoch"), 30)
            world.wait_alert(world.traffic.probe())
        finally:
            world.lifted()
            second.stop()
    finally:
        for each in members:
            if (process := each.find()) is not None:
                process.send_signal(signal.SIGCONT)
    return f"{hit}; woke up and ended with {woken.code}: this driver holds epoch ..."


def drop_sessions(world: World) -> None:
    """End the sessions of all drivers, as a restart or a network that drops the silent would."""
    with psycopg.connect(**admin_parameters(world.settings), autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'fraud_writer'")


def _alerts(world: World) -> Driver:
    return world.alerts


def _lake(world: World) -> Driver:
    return world.lake


_SAME = "The batch runs again and has no second effect"
FAULTS = (
    *(Fault(f"D1.{point}", f"Alert driver killed at {point}", _SAME, partial(killed_at, point, _alerts))
      for point in ALERT_POINTS),
    *(Fault(f"D1.{point}", f"Direct alert driver killed at {point}", _SAME, partial(killed_at, point, _alerts),
            Kind.DIRECT) for point in DIRECT_POINTS),
    Fault("D1.after_rules_recorded", "Alert driver killed while a rule set is taken up", "The next one judges by it",
          killed_while_rules_change),
    *(Fault(f"D1.{point}", f"Lake driver killed at {point}", _SAME, partial(killed_at, point, _lake))
      for point in LAKE_POINTS),
    Fault("D1.first_batch", "Lake driver killed in the first batch of a generation", _SAME,
          killed_in_first_batch, Kind.OWN, starts_drivers=False),
    Fault("D2.alerts", "JVM of the alert lane killed", "The driver ends with 1 and is replaced",
          partial(jvm_killed, _alerts)),
    Fault("D2.lake", "JVM of the lake killed", "The driver ends with 1 and is replaced", partial(jvm_killed, _lake)),
    Fault("D10", "Alert driver frozen while a second one takes the lease, then woken", "The sleeper is fenced by epoch",
          frozen_while_another_takes_over),
    Fault("D10.direct", "The same with the direct alert lane", "The sleeper is fenced by epoch",
          frozen_while_another_takes_over, Kind.DIRECT),
)  # fmt: skip

"""The short part of the fault catalogue, part of every test run: one world, the faults that hurt most.

`python -m medallion_assets_tests.faults` tries all of them.
"""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import SystemRandom

import pytest

from medallion_assets_tests.faults import catalogue, checker
from medallion_assets_tests.faults.fault import Fault
from medallion_assets_tests.faults.servers import wait_until
from medallion_assets_tests.faults.trial import keep
from medallion_assets_tests.faults.world import World, world

pytestmark = pytest.mark.timeout(1500)
SEED_VARIABLE = "FAULT_SEED"
IN_TRANSACTION, AFTER_COMMIT = "in_alert_transaction:1:kill9", "after_alert_commit:1:kill9"
HALF_A_BATCH = "after_append@silver.transactions:1:kill9"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Servers and traffic; drivers that die at their first batches."""
    seed = int(os.environ.get(SEED_VARIABLE, SystemRandom().randrange(1_000_000)))
    print(f"{SEED_VARIABLE}={seed}")  # noqa: T201 - to repeat what failed
    with world(seed) as made:
        made.traffic.send(3600)
        made.traffic.probe()
        made.start_drivers(alerts=(IN_TRANSACTION, AFTER_COMMIT), lake=(HALF_A_BATCH,))
        try:
            yield made
        finally:
            evidence = Path(tmp_path_factory.mktemp("faults"))
            keep(evidence, made, "logs of the fault world")


def test_killed_while_writing_nothing_is_lost_or_doubled(here: World) -> None:
    """Kill -9 within the alert transaction, after its commit, and between two appends of silver."""
    here.alerts.wait_hit(IN_TRANSACTION)
    here.traffic.probe()
    here.alerts.wait_hit(AFTER_COMMIT)
    here.lake.wait_hit(HALF_A_BATCH)
    here.lifted()
    recovered, passed = here.settle()
    assert len(passed) > 60
    assert [each.code for each in here.alerts.ended + here.lake.ended] == [-signal.SIGKILL] * 3
    print(f"every invariant held {recovered:.0f} s after the last kill")  # noqa: T201 - a figure for the reader


def test_broker_and_database_killed_under_traffic(here: World) -> None:
    """Both servers die by SIGKILL while messages flow; the alert lane waits them out."""
    here.alerts.wait_running()
    ended = len(here.alerts.ended)
    here.traffic.send(600)
    here.postgres.kill()
    here.kafka.kill()
    time.sleep(1.0)
    here.kafka.start()
    here.postgres.start()
    here.lifted()
    here.wait_alert(here.traffic.probe(3))
    here.settle()
    assert len(here.alerts.ended) == ended, "the alert lane did not wait"


def test_the_checker_bites(here: World) -> None:
    """It misses a transaction that was acknowledged, an alert that was demanded, and one that was not."""
    known = checker.truth(here.settings, here.traffic)
    wait_until("all is well", lambda: not wrong(here, known), 120, 1.0)
    about_customers = [key for key, decision in known.decisions.items() if key[0] == "customer" and decision.alert]
    spared = {key: d for key, d in known.decisions.items() if key != about_customers[0]}
    assert wrong(here, replace(known, decisions=spared)) == {"decisions_as_demanded", "alerts_as_demanded"}
    more = known.decisions | {("customer", "never-sent"): replace(known.decisions[about_customers[0]], score=99.0)}
    assert "decisions_as_demanded" in wrong(here, replace(known, decisions=more))
    assert wrong(here, replace(known, ends=known.ends | {"transactions": 1})) == {"bronze_is_kafka"}
    here.traffic.transaction_ids.add("never-sent")
    try:
        assert wrong(here, known) == {"acknowledged_is_in_silver"}
    finally:
        here.traffic.transaction_ids.remove("never-sent")


def wrong(here: World, known: checker.Truth) -> set[str]:
    """Names of the checks that fail."""
    return {name for name, finding in checker.checks(here.settings, known) if not finding.passed}


def test_ids_of_the_catalogue_are_unique_and_can_be_chosen() -> None:
    ids = [fault.id for fault in catalogue.FAULTS]
    assert len(set(ids)) == len(ids)
    assert {fault.id for fault in catalogue.chosen(["P3"])} == {"P3.reset", "P3.slow", "P3.half_open"}
    assert all(fault.title and (not isinstance(fault, Fault) or fault.holds) for fault in catalogue.FAULTS)
    with pytest.raises(KeyError, match="no fault 'X1'"):
        catalogue.chosen(["X1"])

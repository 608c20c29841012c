"""Faults of PostgreSQL and of the network before it."""

import contextlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from medallion_assets_tests.faults.fault import Fault
from medallion_assets_tests.faults.world import World
from medallion_services.database.prepare import admin_parameters
from spark_jobs.failpoints import Failpoint

DOWN_SECONDS = 45.0
_SLEEP = 4.0


def held_in_transaction(world: World, seconds: float = _SLEEP) -> str:
    """Bring the alert driver to the middle of a transaction, where it stays for some seconds; returns the proof."""
    armed = f"{Failpoint.IN_ALERT_TRANSACTION}:1:sleep:{seconds:g}"
    world.alerts.arm(armed)
    world.traffic.send(300)
    world.traffic.probe(2)
    return world.alerts.wait_hit(armed)


def killed_in_transaction(world: World) -> str:
    """SIGKILL to PostgreSQL while the driver is in a transaction, then a restart."""
    hit = held_in_transaction(world)
    ended = len(world.alerts.ended)
    world.postgres.kill()
    time.sleep(2.0)
    world.postgres.start()
    world.lifted()
    world.wait_alert(world.traffic.probe())
    assert len(world.alerts.ended) == ended, "the alert lane did not wait the restart out"
    return f"{hit}; server killed in it"


def down(world: World) -> str:
    """No database for a while, with traffic; the alert lane waits, whoever cannot is started again."""
    world.alerts.wait_running()
    ended = len(world.alerts.ended)
    world.postgres.stop()
    world.traffic.send(600)
    world.traffic.probe(3)
    time.sleep(DOWN_SECONDS)
    world.postgres.start()
    world.lifted()
    world.wait_alert(world.traffic.probe())
    assert len(world.alerts.ended) == ended, "the alert lane did not wait"
    return f"down for {DOWN_SECONDS:.0f} s"


def connections_reset(world: World) -> str:
    """Every connection is reset, again and again, also within a transaction."""
    hit = held_in_transaction(world)
    cut = 0
    for _ in range(5):
        cut += world.proxy.cut()
        world.traffic.probe()
        time.sleep(1.5)
    world.lifted()
    world.wait_alert(world.traffic.probe())
    assert cut > 3, f"only {cut} connections were cut"
    return f"{hit}; {cut} connections reset"


def slow_network(world: World) -> str:
    """Each piece that goes to the database or comes from it takes a second longer."""
    world.alerts.wait_running()
    before = world.proxy.forwarded
    world.proxy.delay = 1.0
    try:
        took = world.wait_alert(world.traffic.probe())
        assert took > 2.0, f"an alert took {took:.1f} s: the delay was not there"
    finally:
        world.proxy.delay = 0.0
    world.lifted()
    world.wait_alert(world.traffic.probe())
    return f"{world.proxy.forwarded - before} bytes with 1 s delay, an alert took {took:.0f} s"


def half_open(world: World) -> str:
    """The network swallows everything for a while, in a transaction; then it resets what was left hanging."""
    hit = held_in_transaction(world)
    world.proxy.frozen = True
    try:
        world.traffic.probe(2)
        time.sleep(DOWN_SECONDS)
        cut = world.proxy.cut()
    finally:
        world.proxy.frozen = False
    world.lifted()
    world.wait_alert(world.traffic.probe())
    return f"{hit}; nothing passed for {DOWN_SECONDS:.0f} s, then {cut} connections reset"


@contextmanager
def administrator(world: World) -> Iterator[psycopg.Connection[Any]]:
    """A session that may do everything, past the proxy."""
    parameters = admin_parameters(world.settings, world.settings.postgres.database)
    with psycopg.connect(**parameters) as connection:
        yield connection


def locked_out(world: World) -> str:
    """Somebody holds the tables of alerts for longer than the driver's patience with locks."""
    world.alerts.wait_running()
    with administrator(world) as connection:
        connection.execute("ALTER ROLE fraud_writer SET lock_timeout = '1s'")
    ended = len(world.alerts.ended)
    # The driver's sessions must know of the timeout.
    world.proxy.cut()
    world.wait_alert(world.traffic.probe())
    with administrator(world) as connection:
        connection.execute("LOCK TABLE fraud.alerts IN ACCESS EXCLUSIVE MODE")
        probes = world.traffic.probe(2)
        time.sleep(6.0)
        row = connection.execute("SELECT count(*) FROM fraud.alerts WHERE transaction_id = ANY(%s)", (probes,))
        assert row.fetchone() == (0,), "the alert was written although the table was locked"
        connection.execute("ALTER ROLE fraud_writer RESET lock_timeout")
    world.proxy.cut()
    world.lifted()
    world.wait_alert(probes)
    assert len(world.alerts.ended) == ended, "the alert lane ended instead of trying again"
    refused = _log(world).count("canceling statement due to lock timeout")
    assert refused, "no statement ran into the timeout"
    return f"{refused} statements ran into lock_timeout"


def deadlocked(world: World) -> str:
    """The driver is made the victim of a deadlock: it holds the lease's row and waits for the table, we the reverse."""
    hit = held_in_transaction(world)
    ended, before = len(world.alerts.ended), len(_log(world))
    with administrator(world) as connection:
        # The driver looks for deadlocks after a second, so it finds this one first and gives way.
        connection.execute("SET deadlock_timeout = '5s'")
        connection.execute("LOCK TABLE fraud.alerts IN SHARE MODE")
        with contextlib.suppress(psycopg.errors.DeadlockDetected):
            connection.execute("SELECT * FROM fraud.stream_lease WHERE stream = 'alerts' FOR UPDATE")
        connection.rollback()
    world.lifted()
    world.wait_alert(world.traffic.probe())
    victims = re.findall(r"deadlock detected.*?STATEMENT:\s+(\w+)", _log(world)[before:], re.DOTALL)
    assert "WITH" in victims, f"the insert of alerts was no victim; those were {victims}"
    assert len(world.alerts.ended) == ended, "the alert lane ended instead of trying again"
    return f"{hit}; deadlock detected, the insert of alerts was the victim"


def _log(world: World) -> str:
    return world.postgres.log.read_text(encoding="utf-8", errors="replace")


FAULTS = (
    Fault("P1", "PostgreSQL killed within an alert transaction", "The batch is written again, once; the lane goes on",
          killed_in_transaction),
    Fault("P2", f"PostgreSQL down for {DOWN_SECONDS:.0f} s under traffic", "The alert lane waits", down),
    Fault("P3.reset", "Connections to PostgreSQL reset, also in a transaction", "Streams go on", connections_reset),
    Fault("P3.slow", "One second of delay for each piece to and from PostgreSQL", "Alerts come, later", slow_network),
    Fault("P3.half_open", "The network swallows everything, then resets", "Streams go on", half_open),
    Fault("P4.lock", "A lock held for longer than lock_timeout", "The batch is tried again", locked_out),
    Fault("P4.deadlock", "The alert driver is the victim of a deadlock", "The batch is tried again", deadlocked),
)  # fmt: skip

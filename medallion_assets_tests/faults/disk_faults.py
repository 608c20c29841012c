"""Full disks. Each store lies on a small disk of its own, which is filled up and emptied again."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from medallion_assets_tests.faults.drivers import Driver
from medallion_assets_tests.faults.fault import CannotHappenHereError, Fault
from medallion_assets_tests.faults.servers import wait_until
from medallion_assets_tests.faults.world import Kind, World
from spark_jobs.failpoints import Failpoint

_FULL = "No space left on device"
_STAYS_FULL_SECONDS = 10.0


@contextmanager
def full(world: World, name: str) -> Iterator[int]:
    """No byte is free on the disk `name` for the length of the block; gives how many were.

    Raises:
        CannotHappenHereError: there is no such disk, because only root may mount one.
    """
    if name not in world.disks:
        raise CannotHappenHereError("only root may mount a small disk")
    filler = world.disks[name] / "filler"
    taken = 0
    with filler.open("wb") as file:
        while (free := _free(world, name)) > 0:
            os.posix_fallocate(file.fileno(), taken, free)
            taken += free
    try:
        yield taken
    finally:
        filler.unlink()


def _free(world: World, name: str) -> int:
    found = os.statvfs(world.disks[name])
    return found.f_bavail * found.f_frsize


def database_disk_full(world: World) -> str:
    """PostgreSQL can write nothing more; then it can again."""
    world.alerts.wait_running()
    with full(world, "postgres") as taken:
        probes = world.traffic.probe(300)
        wait_until("PostgreSQL says that its disk is full", lambda: _FULL in _database_log(world), 120)
        time.sleep(_STAYS_FULL_SECONDS)
    died = not world.postgres.alive
    if died:
        world.postgres.start()
    world.lifted()
    world.wait_alert(probes)
    return f"{taken >> 20} MB filled; PostgreSQL {'ended and was started again' if died else 'lived on'}"


def _database_log(world: World) -> str:
    return world.postgres.log.read_text(encoding="utf-8", errors="replace")


def _stops_and_goes_on(world: World, disk: str, driver: Driver) -> str:
    driver.wait_running()
    ended = len(driver.ended)
    with full(world, disk) as taken:
        probes = world.traffic.probe(50)
        world.traffic.send(1800)
        code = driver.wait_ended(ended).code
        assert driver.said(_FULL), f"{driver.name} ended with {code} and did not say why"
        time.sleep(_STAYS_FULL_SECONDS)
    world.lifted()
    world.wait_alert(probes)
    return f"{taken >> 20} MB filled; the driver of {driver.name} ended with {code}: {_FULL}"


def checkpoint_disk_full(world: World) -> str:
    """Spark can write neither offsets nor state."""
    return _stops_and_goes_on(world, "checkpoints", world.alerts)


def lake_disk_full(world: World) -> str:
    """No Delta commit is possible."""
    return _stops_and_goes_on(world, "lake", world.lake)


def append_finds_no_space(world: World) -> str:
    """What a full disk does to one append, without a full disk."""
    armed = f"{Failpoint.BEFORE_APPEND}@silver.transactions:1:enospc"
    ended = len(world.lake.ended)
    world.lake.arm(armed)
    world.traffic.send(300)
    hit = world.lake.wait_hit(armed)
    code = world.lake.wait_ended(ended + 1).code
    assert code == 1, f"the driver ended with {code}"
    assert world.lake.said(_FULL), "the driver did not say why it ended"
    world.lifted()
    return hit


FAULTS = (
    Fault("S1.append", "An append finds no space", "The driver says so and ends; it goes on", append_finds_no_space),
    Fault("S1.checkpoints", "The disk of the checkpoints is full", "The driver says so and ends; it goes on with space",
          checkpoint_disk_full, Kind.DISKS),
    Fault("S1.lake", "The disk of the lake is full", "The driver says so and ends; it goes on with space",
          lake_disk_full, Kind.DISKS),
    Fault("P5", "The disk of PostgreSQL is full", "Nothing half written; it goes on with space", database_disk_full,
          Kind.DISKS),
)  # fmt: skip

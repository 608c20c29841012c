"""Faults of the broker, and of what it keeps."""

import time
from collections.abc import Callable

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from fraud_domain.tables import table
from fraud_domain.topics import TOPICS, TRANSACTIONS
from medallion_assets.defs.operations.classify import classify
from medallion_assets.platform import Platform
from medallion_assets_tests.faults.drivers import Driver
from medallion_assets_tests.faults.fault import Fault
from medallion_assets_tests.faults.servers import wait_until
from medallion_assets_tests.faults.world import Kind, World
from medallion_services.embedded.kafka_topics import create_topics
from spark_jobs.failpoints import Failpoint

DOWN_SECONDS = 20.0
_LOSS = "kafka-data-loss"
"""The page of the runbook that an operator must be led to. Spark has several messages about offsets that are gone."""


def killed_in_batch(world: World) -> str:
    """SIGKILL to the broker while the alert driver holds a batch, then a restart."""
    armed = f"{Failpoint.BEFORE_ALERT_COMMIT}:1:sleep:3"
    world.alerts.arm(armed)
    world.traffic.send(600)
    probes = world.traffic.probe(3)
    hit = world.alerts.wait_hit(armed)
    world.kafka.kill()
    time.sleep(2.0)
    world.kafka.start()
    world.lifted()
    world.wait_alert(probes + world.traffic.probe())
    return f"{hit}; broker killed in it"


def down(world: World) -> str:
    """No broker for a while."""
    world.alerts.wait_running()
    world.traffic.send(600)
    world.kafka.stop()
    time.sleep(DOWN_SECONDS)
    world.kafka.start()
    world.lifted()
    world.wait_alert(world.traffic.probe())
    return f"down for {DOWN_SECONDS:.0f} s"


def _after(world: World, damage: Callable[[AdminClient], None]) -> str:
    """Let everything settle, stop the drivers, do the damage, and see both refuse to go on over it."""
    world.traffic.send(1800)
    world.start_drivers()
    world.settle()
    for driver in (world.alerts, world.lake):
        driver.stop()
        driver.restart = False
    world.traffic.probe(3)
    before = _bronze_rows(world)
    damage(AdminClient({"bootstrap.servers": world.settings.kafka_bootstrap}))
    world.lifted()
    for driver in (world.alerts, world.lake):
        _refuses(driver)
    assert _bronze_rows(world) == before, "bronze took rows from beyond the gap"
    return f"both drivers ended, and led to {_LOSS}; bronze stays at {before} rows"


def _refuses(driver: Driver) -> None:
    ended = len(driver.ended)
    driver.start()
    code = driver.wait_ended(ended).code
    assert code == 1, f"{driver.name} ended with {code}"
    wait_until(f"the last words of {driver.name} lead to {_LOSS}", lambda: _page(driver) == _LOSS, 10)


def _page(driver: Driver) -> str:
    """Of the runbook, for what the driver itself said last."""
    said = [line for line in driver.log.read_text("utf-8", "replace").splitlines() if "Z stream " in line]
    return classify(said[-1]).page if said else "it said nothing"


def _bronze_rows(world: World) -> int:
    delta = Platform(world.settings).delta(table("bronze.transactions"))
    return delta.to_pyarrow_dataset().count_rows() if delta is not None else 0


def retention_passes(world: World) -> str:
    """While the streams are down, retention takes messages that they have not read."""

    def damage(admin: AdminClient) -> None:
        ends = [TopicPartition(TRANSACTIONS, p, -1) for p in range(world.settings.kafka.partitions)]
        for outcome in admin.delete_records(ends).values():
            outcome.result(60)
        world.traffic.probe(3)

    return _after(world, damage)


def topic_made_anew(world: World) -> str:
    """While the streams are down, the topic is deleted and made again; its offsets start at 0."""

    def damage(admin: AdminClient) -> None:
        for outcome in admin.delete_topics([TRANSACTIONS], operation_timeout=30).values():
            outcome.result(60)
        anew = [spec for spec in TOPICS if spec.name == TRANSACTIONS]
        wait_until("the topic is made anew", lambda: bool(create_topics(world.settings, anew)), 60, 1.0)
        world.traffic.reconnect()
        world.traffic.probe(2)

    return _after(world, damage)


FAULTS = (
    Fault("K1", "Broker killed while a batch is under way", "Streams go on by themselves", killed_in_batch),
    Fault("K2", f"Broker down for {DOWN_SECONDS:.0f} s", "Streams go on by themselves", down),
    Fault("K3", "Topic deleted and made anew", f"Streams stop and lead to {_LOSS}; nothing is skipped",
          topic_made_anew, Kind.OWN, settles=False, starts_drivers=False),
    Fault("K4", "Retention takes what was not read", f"Streams stop and lead to {_LOSS}; nothing is skipped",
          retention_passes, Kind.OWN, settles=False, starts_drivers=False),
)  # fmt: skip

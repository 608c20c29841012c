"""The direct lane under more than it can judge: it falls behind, says so and skips nothing; its memory is bounded."""

import signal
import subprocess
import sys
import time
from collections import Counter

import orjson
import psutil

from fraud_domain.settings import PROJECT_ROOT, Settings
from fraud_domain.topics import FRAUD_DECISIONS, TRANSACTIONS
from medallion_assets_tests.pipeline import database, messages
from medallion_services.embedded import kafka, postgres
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.java import Java
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.throwaway import fresh_settings, running
from medallion_services.generator.producer import KafkaSink
from medallion_services.generator.timeline import Plan, Timeline
from medallion_services.generator.world import World

SCRIPT = PROJECT_ROOT / "spark_jobs" / "direct_to_postgres.py"
CUSTOMERS, WARM_UP, FLOOD = 2_000, 3_000, 40_000
GROWTH_BYTES = 400 * 1024 * 1024
"""Kafka's client reads 32 MB ahead; histories of 2,000 customers and whom they met are the rest."""
PATIENCE_SECONDS = 120.0
_TOLD = "SELECT input_rows, lag_rows FROM fraud.stream_progress ORDER BY at"


def send(settings: Settings, world: World, run_id: str, count: int) -> set[str]:
    """So many transactions as fast as the broker takes them; returns their ids."""
    now, sent = time.time(), set[str]()
    plan = Plan(count / 3_600, 5, fraud_share=0.02, run_id=run_id)
    with KafkaSink(settings) as sink:
        for emission in Timeline(world, plan).emissions(now - 7_200, now):
            if emission.topic == TRANSACTIONS:
                sink.send(emission)
                sent.add(str(emission.truth.transaction_id))
                if len(sent) == count:
                    break
    return sent


def read_until(settings: Settings, count: int) -> list[int]:
    """Wait until so many messages are judged; returns the lags that were told on the way."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    with database(settings) as connection:
        while time.monotonic() < give_up:
            rows = connection.execute(_TOLD).fetchall()
            if sum(row["input_rows"] for row in rows) >= count:
                return [row["lag_rows"] for row in rows if row["lag_rows"] is not None]
            time.sleep(0.5)
    raise AssertionError(f"{count} messages were not judged within {PATIENCE_SECONDS} s: {rows[-3:]}")


def test_a_flood_is_judged_to_the_end_and_only_late(java: Java) -> None:
    with (
        fresh_settings(streams={"alert_lane": "direct"}) as settings,
        running(settings, postgres.component(settings), kafka.component(settings, java)),
    ):
        prepare_database(settings)
        world = World(11, CUSTOMERS, CUSTOMERS, settings.token_key())
        environment = stack_environment(settings) | {"MEDALLION_APPLICATION": "alerts"}
        process = subprocess.Popen([sys.executable, str(SCRIPT)], env=environment, cwd=PROJECT_ROOT)
        try:
            sent = send(settings, world, "warm-up", WARM_UP)
            read_until(settings, WARM_UP)
            before = psutil.Process(process.pid).memory_info().rss
            sent |= send(settings, world, "flood", FLOOD)
            lags = read_until(settings, WARM_UP + FLOOD)
            grown = psutil.Process(process.pid).memory_info().rss - before
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        logged = [orjson.loads(message.value()) for message in messages(settings, FRAUD_DECISIONS)]
    assert max(lags) > FLOOD / 10, "it never fell behind, so nothing was tried"
    assert lags[-1] == 0
    assert grown < GROWTH_BYTES
    decided = Counter(each["transaction_id"] for each in logged if each["subject_kind"] == "customer")
    assert decided.keys() == sent
    assert max(decided.values()) == 1

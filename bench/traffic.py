"""Traffic of a measurement: what is past, sent at once, and what flows, from a process of its own.

Making a payment takes some 300 µs of CPU, most of it a customer's; sending one takes a third. So what flows is made
beforehand, and takes nothing from what is measured. Each message goes out at its intended time, which is its Kafka
timestamp, or at most 2 ms later; who falls behind cannot hide waiting time.
"""

import argparse
import gc
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain

from fraud_domain.settings import PROJECT_ROOT, Settings
from fraud_domain.topics import TRANSACTIONS
from medallion_services.embedded.environment import stack_environment
from medallion_services.generator.producer import KafkaSink
from medallion_services.generator.timeline import Emission, Plan, Timeline
from medallion_services.generator.world import World

CUSTOMERS, SEED = 3_000, 1
_FRAUD_SHARE = 0.05
_FLOWING = "flowing\n"
_SAMPLE, _MARGIN = 2_000, 1.3
_AT_LEAST, _STOP_SECONDS = 0.002, 60.0
_FOR_EVER = 36_000.0


def world_of(settings: Settings, customers: int = CUSTOMERS) -> World:
    """The customers of a measurement."""
    return World(SEED, customers, customers, settings.token_key())


def send_past(sink: KafkaSink, world: World, rows: int, months_ago: int = 0) -> int:
    """A month of about so many transactions, sent at once; returns how many there were.

    Args:
        months_ago: when it ended, in months of 30 days.
    """
    return send_days(sink, world, rows, 30.0 * (months_ago + 1), 30.0)[TRANSACTIONS]


def send_days(
    sink: KafkaSink, world: World, rows: int, days_ago: float, days: float, fraud_share: float = 0
) -> Counter[str]:
    """Traffic of some days with about so many transactions, sent at once; returns how many messages each topic got.

    Args:
        days_ago: when they began.
        fraud_share: of the transactions.
    """
    start = time.time() - days_ago * 86_400
    past = Timeline(world, Plan(1, SEED, fraud_share=fraud_share, run_id=f"past{days_ago}"))
    sent = Counter[str]()
    for emission in past.emissions(start, start + days * 86_400, rows / (days * 86_400)):
        sink.send(emission)
        sent[emission.topic] += 1
    sink.flush()
    return sent


@contextmanager
def flowing(settings: Settings, rate: float, customers: int, seconds: float) -> Iterator[int]:
    """Live traffic for the length of the block, from a process whose pid it gives.

    Args:
        rate: transactions a second.
        seconds: how much is made beforehand; what comes later is made as it goes.

    Raises:
        RuntimeError: the process ended by itself.
    """
    argv = [sys.executable, "-m", "bench.traffic", str(rate), str(customers), str(seconds)]
    environment = stack_environment(settings)
    with subprocess.Popen(argv, env=environment, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or process.stdout.readline() != _FLOWING:
                raise RuntimeError("no traffic came; why stands above")
            yield process.pid
            if process.poll() is not None:
                raise RuntimeError("the traffic ended; why stands above")
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)


def made_beforehand(world: World, rate: float, seconds: float) -> tuple[float, Iterable[Emission]]:
    """When traffic can begin, in epoch seconds, and all of it, the first `seconds` of it made."""
    began = time.monotonic()
    sample = Timeline(world, Plan(rate, SEED, fraud_share=_FRAUD_SHARE, run_id="sample"))
    made = sum(1 for _ in sample.emissions(0.0, _SAMPLE / rate))
    each = (time.monotonic() - began) / max(made, 1)
    start = time.time() + 1.0 + rate * seconds * each * _MARGIN
    live = Timeline(world, Plan(rate, SEED + 1, fraud_share=_FRAUD_SHARE, run_id="live"))
    first = list(live.emissions(start, start + seconds))
    # Nothing of it goes before it is sent, so nobody needs to search it for cycles.
    gc.freeze()
    return start, chain(first, live.emissions(start + seconds, start + _FOR_EVER))


def main() -> None:
    """Let traffic flow until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m bench.traffic", description=__doc__)
    for name, kind in (("rate", float), ("customers", int), ("seconds", float)):
        parser.add_argument(name, type=kind)
    options = parser.parse_args()
    settings = Settings()
    start, traffic = made_beforehand(world_of(settings, options.customers), options.rate, options.seconds)
    if (late := time.time() - start) > 0:
        sys.stderr.write(f"traffic begins {late:.1f} s behind its times\n")
    time.sleep(max(0.0, -late))
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    sys.stdout.write(_FLOWING)
    sys.stdout.flush()
    with KafkaSink(settings) as sink:
        for emission in traffic:
            if (early := emission.send_at - time.time()) > 0:
                time.sleep(max(early, _AT_LEAST))
            if stopped:
                return
            sink.send(emission)


if __name__ == "__main__":
    main()

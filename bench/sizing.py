"""What a rate of events needs, reckoned from what an event was measured to cost: `python -m bench.sizing`.

`docs/scale.md` shows the table. It is arithmetic, not a measurement: costs are taken to grow with events, and cores to
add up. Where that ends is said there.
"""

import json
import math
import sys
from dataclasses import dataclass
from typing import Any

from fraud_domain.settings import PROJECT_ROOT

COSTS = PROJECT_ROOT / "bench" / "results" / "cost.json"
"""Where `bench.cost` keeps what it measured."""
RATES = (1_000, 10_000, 100_000, 1_000_000)
FILLED = 0.6
"""Share of a core that is planned with; the rest is for peaks, compaction and what was not measured."""
_DAY_SECONDS, _GB = 86_400, 1e9


@dataclass(frozen=True, slots=True)
class Costs:
    """Microseconds of CPU and bytes, each of one event."""

    alerts_us: float
    lake_us: float
    broker_us: float
    kafka_bytes: float
    lake_bytes: float

    @staticmethod
    def of(measured: dict[str, Any]) -> "Costs":
        """From what `bench.cost` keeps."""
        lanes, left = measured["lanes"], measured["left"]
        return Costs(
            lanes["alerts"]["driver_us"],
            lanes["lake"]["driver_us"],
            lanes["alerts"]["kafka_us"] + lanes["lake"]["kafka_us"],
            left["kafka_bytes"] / left["events"],
            sum(table["bytes"] for table in left["lake"].values()) / left["events"],
        )


@dataclass(frozen=True, slots=True)
class Need:
    """What one rate needs; sizes in GB a day."""

    rate: int
    alert_cores: int
    lake_cores: int
    broker_cores: int
    partitions: int
    kafka_gb: float
    lake_gb: float


def need(rate: int, costs: Costs) -> Need:
    """Cores, partitions and disk for `rate` events a second."""

    def cores(micros: float) -> int:
        return math.ceil(rate * micros / 1e6 / FILLED)

    alert_cores = cores(costs.alerts_us)
    daily = rate * _DAY_SECONDS / _GB
    # A partition is read and judged by one task, so there are at least as many as cores of the alert lane.
    return Need(
        rate, alert_cores, cores(costs.lake_us), cores(costs.broker_us), max(2, alert_cores),
        daily * costs.kafka_bytes, daily * costs.lake_bytes,
    )  # fmt: skip


def table(measured: dict[str, Any]) -> str:
    """The table of `docs/scale.md`."""
    costs = Costs.of(measured)
    lines = [
        "| events a second | cores, alert lane | cores, lake | cores, broker | partitions | Kafka a day | lake a day |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in (need(rate, costs) for rate in RATES):
        cores = f"{each.alert_cores:,} | {each.lake_cores:,} | {each.broker_cores:,} | {each.partitions:,}"
        lines.append(f"| {each.rate:,} | {cores} | {each.kafka_gb:,.0f} GB | {each.lake_gb:,.0f} GB |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(table(json.loads(COSTS.read_text(encoding="utf-8"))) + "\n")

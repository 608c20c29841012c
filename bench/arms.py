"""The alert lanes beside a plain loop and the streaming design they succeed, in one run: `python -m bench.arms`.

All read the same topic of the same broker and write to the same PostgreSQL, one after the other, twice each, there and
back again (A B C C B A). Traffic flows all the time at its intended times, which are Kafka's timestamps; latency is
from there to the row of the alert. Our lanes must have raised the same alerts about customers of what was sent before
the first round; the loop may differ by a few, because it does not wait for what is known of a customer. CPU is of the
arm's own processes; broker, database and generator come on top, for each arm alike.

    python -m bench.arms --rate 2000 --customers 200000 --only direct --result arms_2000.json
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from bench.origin_stream import TABLES
from bench.plain_loop import TABLE
from bench.rounds import asked, document, keep, one_round, there_and_back
from bench.stack import servers
from bench.traffic import CUSTOMERS, send_days, world_of
from fraud_domain.settings import PROJECT_ROOT, AlertLane, Settings
from medallion_services.database.prepare import admin_parameters
from medallion_services.embedded.stack import prepare_database
from medallion_services.generator.producer import KafkaSink

JOBS = PROJECT_ROOT / "spark_jobs"
RATE, BACKLOG, FRAUD_SHARE, WARM_UP = 50.0, 8_000, 0.02, 45.0
RESULTS = PROJECT_ROOT / "bench" / "results"
_OURS = """
SELECT alert_id, kafka_timestamp AS sent, detected_at AS seen FROM fraud.alerts WHERE subject_kind = 'customer'
"""


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to raise alerts: how it is started, and where its alerts are; lanes of ours have a database each."""

    argv: tuple[str, ...]
    alerts: str
    lane: AlertLane | None = None

    def settings(self, settings: Settings, name: str) -> Settings:
        """Its own settings."""
        if self.lane is None:
            return settings
        database = settings.postgres.model_copy(update={"database": f"arm_{name}"})
        streams = settings.streams.model_copy(update={"alert_lane": self.lane})
        checkpoints = str(settings.data_dir / "checkpoints" / name)
        return settings.model_copy(update={"postgres": database, "streams": streams, "checkpoint_uri": checkpoints})


ARMS = {
    "direct": Arm((sys.executable, str(JOBS / "direct_to_postgres.py")), _OURS, AlertLane.DIRECT),
    "spark": Arm((sys.executable, str(JOBS / "streaming_to_postgres.py")), _OURS, AlertLane.SPARK),
    "loop": Arm(
        (sys.executable, "-m", "bench.plain_loop"),
        "SELECT alert_id, kafka_timestamp AS sent, visible_at AS seen FROM bench.loop_alerts",
    ),
    "origin": Arm(
        (sys.executable, "-m", "bench.origin_stream"),
        "SELECT NULL AS alert_id, kafka_timestamp AS sent, visible_at AS seen FROM bench.origin_alerts",
    ),
}


def measure(settings: Settings, name: str) -> dict[str, Any]:
    """One round: warm up, then a minute."""
    arm = ARMS[name]
    return one_round(settings, name, list(arm.argv), arm.alerts, lambda _: time.sleep(WARM_UP))


def alerts_until(settings: Settings, name: str, moment: float) -> set[str]:
    """What an arm raised about what was sent before a moment."""
    query = f"SELECT alert_id FROM ({ARMS[name].alerts}) AS a WHERE sent < to_timestamp(%s)"  # noqa: S608 - of ours
    return {row[0] for row in asked(settings, query, (moment,))}


def run(names: Sequence[str], rate: float, customers: int) -> dict[str, Any]:
    """All rounds; says each as it comes.

    Raises:
        AssertionError: our lanes raised other alerts.
    """
    with servers() as common:
        each = {name: ARMS[name].settings(common, name) for name in names}
        for name in names:
            if ARMS[name].lane:
                prepare_database(each[name])
        with psycopg.connect(**admin_parameters(common, common.postgres.database), autocommit=True) as connection:
            connection.execute(TABLE)
            connection.execute(TABLES)
        with KafkaSink(common) as sink:
            send_days(sink, world_of(common, customers), BACKLOG, 30.0, 30.0, FRAUD_SHARE)
        before_all = time.time()
        rounds = there_and_back(common, customers, rate, names, lambda name: measure(each[name], name))
        raised = {name: alerts_until(each[name], name, before_all) for name in names if name != "origin"}
    counts = {name: len(found) for name, found in raised.items()}
    if len({frozenset(found) for name, found in raised.items() if ARMS[name].lane}) > 1:
        raise AssertionError(f"other alerts about the same past: {counts}")
    return document(rate, customers, rounds, counts)


def main() -> int:
    """Measure; the result of all arms is kept."""
    parser = argparse.ArgumentParser(prog="python -m bench.arms", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--rate", type=float, default=RATE, help="events a second")
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--result", help="name of the file that keeps the figures; by default arms.json, of all arms")
    options = parser.parse_args()
    name = options.result or ("arms.json" if options == parser.parse_args([]) else None)
    keep(run(options.only, options.rate, options.customers), RESULTS / name if name else None)
    return 0


if __name__ == "__main__":
    sys.exit(main())

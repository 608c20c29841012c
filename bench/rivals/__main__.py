"""Our lanes beside engines that others make, with the same two rules, in one run: `python -m bench.rivals`.

All read the same topic of the same broker and write to the same PostgreSQL, one after the other, twice each, there and
back again (A B C C B A). Traffic flows all the time at its intended times, which are Kafka's timestamps, after ten
minutes of the same that are there when the first begins, so that every window is as full as in the others. Latency is
from there to the first row about the transaction. What each has alerted of those ten minutes is compared with a plain
loop over them: our lanes must agree, of a rival it is said. CPU is of the arm's own processes; broker, database and
generator come on top, for each arm alike.

    python -m bench.rivals --rate 200 --only direct pathway
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import psutil
import psycopg

from bench.arms import Arm
from bench.rivals import two_rules
from bench.rivals.homes import flink_jars, python_of
from bench.rounds import SECONDS, asked, document, keep, one_round, there_and_back
from bench.stack import servers
from bench.traffic import SEED, world_of
from fraud_domain.settings import PROJECT_ROOT, AlertLane, Settings
from fraud_domain.topics import TRANSACTIONS
from medallion_services.database.prepare import admin_parameters
from medallion_services.embedded.stack import prepare_database
from medallion_services.generator.producer import KafkaSink
from medallion_services.generator.timeline import Emission, Plan, Timeline
from medallion_services.generator.world import World

JOBS, HERE = PROJECT_ROOT / "spark_jobs", PROJECT_ROOT / "bench" / "rivals"
RESULT = PROJECT_ROOT / "bench" / "results" / "rivals.json"
RATE, FRAUD_SHARE, WARM_UP, PATIENCE = 50.0, 0.05, 45.0, 1_800.0
CUSTOMERS_FOR_A_RATE = 800
"""As many as there must be for each event a second, so that the second rule hits one or two in a hundred."""
TABLES = """
CREATE SCHEMA IF NOT EXISTS bench;
CREATE TABLE bench.pathway_alerts (
    transaction_id text, rule text, sent_ms bigint, visible_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (transaction_id, rule)
);
CREATE TABLE bench.flink_alerts (
    transaction_id text, rule text, sent timestamp, visible_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (transaction_id, rule)
)
"""
_OURS = "SELECT transaction_id, kafka_timestamp AS sent, detected_at AS seen FROM fraud.alerts"
_FIRST = (
    "SELECT transaction_id, min({sent}) AS sent, min(visible_at) AS seen FROM bench.{table} GROUP BY transaction_id"
)
ARMS = {
    "direct": Arm((sys.executable, str(JOBS / "direct_to_postgres.py")), _OURS, AlertLane.DIRECT),
    "spark": Arm((sys.executable, str(JOBS / "streaming_to_postgres.py")), _OURS, AlertLane.SPARK),
    "pathway": Arm(
        (str(HERE / "pathway_job.py"),), _FIRST.format(table="pathway_alerts", sent="to_timestamp(sent_ms / 1000.0)")
    ),
    "flink": Arm((str(HERE / "flink_job.py"),), _FIRST.format(table="flink_alerts", sent="sent AT TIME ZONE 'UTC'")),
}


def argv_of(settings: Settings, name: str, state: str | None = None) -> list[str]:
    """How an arm is started; a rival is told everything by a file, since it cannot read our settings."""
    arm = ARMS[name]
    if arm.lane:
        return list(arm.argv)
    parameters = admin_parameters(settings, settings.postgres.database)
    job = {
        "bootstrap": settings.kafka_bootstrap,
        "topic": TRANSACTIONS,
        "postgres": {key: parameters[key] for key in ("host", "port", "dbname", "user", "password")},
        # Pathway would go on where a round before it left off.
        "group": state or name,
        "state": str(settings.data_dir / "checkpoints" / (state or name)),
        "jars": [str(jar) for jar in flink_jars(settings)] if name == "flink" else [],
    }
    file = settings.run_dir / f"{name}.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(job | two_rules.limits()), encoding="utf-8")
    return [str(python_of(settings, name)), *arm.argv, str(file)]


def keep_up(settings: Settings, name: str, pid: int) -> None:
    """Wait until an arm is warm and has alerted something that was sent just now.

    Raises:
        TimeoutError: it does not, or its process has ended.
    """
    time.sleep(WARM_UP)
    started = time.monotonic()
    query = f"SELECT max(sent) > now() - interval '10 seconds' FROM ({ARMS[name].alerts}) AS a"  # noqa: S608 - of ours
    while not asked(settings, query, ())[0][0]:
        ended = psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        if ended or time.monotonic() - started > PATIENCE:
            log = (settings.log_dir / f"{name}.log").read_text("utf-8")
            raise TimeoutError(f"{name} does not keep up. Its last words: {log[-2000:]}")
        time.sleep(1)


def send_past(sink: KafkaSink, world: World, rate: float) -> list[Emission]:
    """The traffic of one window up to now, sent at once."""
    past = Timeline(world, Plan(rate, SEED, fraud_share=FRAUD_SHARE, run_id="past"))
    now = time.time()
    sent = list(past.emissions(now - two_rules.MINUTES * 60, now))
    for emission in sent:
        sink.send(emission)
    sink.flush()
    return sent


def compared(each: dict[str, Settings], past: Sequence[Emission], moment: float) -> dict[str, dict[str, int]]:
    """What each arm alerted of what was sent before a moment, beside what it should have.

    Raises:
        AssertionError: a lane of ours raised other alerts.
    """
    right, found = two_rules.alerted(past), {}
    for name, settings in each.items():
        query = f"SELECT transaction_id FROM ({ARMS[name].alerts}) AS a WHERE sent < to_timestamp(%s)"  # noqa: S608 - of ours
        raised = {row[0] for row in asked(settings, query, (moment,))}
        found[name] = {"right": len(raised & right), "missing": len(right - raised), "extra": len(raised - right)}
        if ARMS[name].lane and raised != right:
            raise AssertionError(f"{name} alerted otherwise than a plain loop: {found[name]}")
    return found


def run(names: Sequence[str], rate: float, customers: int, seconds: float) -> dict[str, Any]:
    """All rounds; says each as it comes."""
    with servers() as common:
        own_rules = common.model_copy(update={"rules": common.rules.model_copy(update={"directory": HERE / "rules"})})
        each = {name: ARMS[name].settings(own_rules, name) for name in names}
        argv = {name: argv_of(each[name], name) for name in names}
        for name in names:
            if ARMS[name].lane:
                prepare_database(each[name])
        with psycopg.connect(**admin_parameters(common, common.postgres.database), autocommit=True) as connection:
            connection.execute(TABLES)
        with KafkaSink(common) as sink:
            past = send_past(sink, world_of(common, customers), rate)
        before_all = time.time()

        def measure(name: str) -> dict[str, Any]:
            settings, warm = each[name], partial(keep_up, each[name], name)
            return one_round(settings, name, argv[name], ARMS[name].alerts, warm, seconds)

        rounds = there_and_back(common, customers, rate, names, measure)
        about_the_past = compared(each, past, before_all)
    return document(rate, customers, rounds, about_the_past)


def main() -> int:
    """Measure; the result of all arms is kept."""
    parser = argparse.ArgumentParser(prog="python -m bench.rivals", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--rate", type=float, default=RATE, help="events a second")
    parser.add_argument("--customers", type=int, help=f"by default {CUSTOMERS_FOR_A_RATE} times the rate")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of a round, after warm-up")
    options = parser.parse_args()
    customers = options.customers or round(options.rate * CUSTOMERS_FOR_A_RATE)
    result = run(options.only, options.rate, customers, options.seconds)
    keep(result, RESULT if options.only == list(ARMS) else None)
    return 0


if __name__ == "__main__":
    sys.exit(main())

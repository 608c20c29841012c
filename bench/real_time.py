"""The direct lane beside Spark's Real-Time Mode, on the same live traffic: `python -m bench.real_time`.

Real-Time Mode has one stateless rule as an expression of Spark (`bench.real_time_job`), the direct lane has that rule
and one about histories, contract, ledger, decisions and all. There and back again, and what Real-Time Mode raised is
compared with a plain loop over the topic.

    python -m bench.real_time --rate 1000
"""

import argparse
import sys
import time
from typing import Any

import orjson
import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from bench.real_time_job import ALERTS, TABLE
from bench.rivals.__main__ import ARMS, CUSTOMERS_FOR_A_RATE, HERE, RATE
from bench.rivals.two_rules import is_large
from bench.rounds import asked, document, keep, one_round, there_and_back
from bench.stack import servers
from fraud_domain.kafka_client import client_configuration
from fraud_domain.settings import PROJECT_ROOT, Settings
from fraud_domain.topics import TRANSACTIONS, TopicSpec
from medallion_services.database.prepare import admin_parameters
from medallion_services.embedded.kafka_topics import create_topics
from medallion_services.embedded.stack import prepare_database

RESULT = PROJECT_ROOT / "bench" / "results" / "real_time.json"
DIRECT, REAL_TIME, WARM_UP = "direct", "real_time", 45.0
_SEEN = "SELECT transaction_id, sent, visible_at AS seen FROM bench.real_time_alerts"
_RUNS = """
SELECT extract(epoch FROM min(sent)) * 1000, extract(epoch FROM max(sent)) * 1000, array_agg(transaction_id)
FROM bench.real_time_alerts GROUP BY run ORDER BY run
"""


def large_payments(settings: Settings) -> list[tuple[int, str]]:
    """Each large payment of the topic, with the millisecond in which it was sent."""
    options = {"group.id": "large", "enable.auto.commit": False, "enable.partition.eof": True}
    consumer = Consumer({**client_configuration(settings), **options})
    left = settings.kafka.partitions
    consumer.assign([TopicPartition(TRANSACTIONS, number, OFFSET_BEGINNING) for number in range(left)])
    found = []
    while left:
        for message in consumer.consume(1_000, 1.0):
            value = message.value()
            if message.error() is not None or value is None:
                left -= 1
                continue
            event = orjson.loads(value)
            if is_large(event):
                found.append((message.timestamp()[1], event["transaction_id"]))
    consumer.close()
    return found


def compared(settings: Settings) -> dict[str, dict[str, int]]:
    """What each run of Real-Time Mode raised between its first and its last alert, beside what it should have."""
    every, found = large_payments(settings), {}
    for number, (first, last, raised) in enumerate(asked(settings, _RUNS, ())):
        right = {name for sent, name in every if first <= sent <= last}
        extra, doubled = len(set(raised) - right), len(raised) - len(set(raised))
        missing = len(right - set(raised))
        found[f"round {number + 1}"] = {"right": len(right), "missing": missing, "extra": extra, "doubled": doubled}
    return found


def run(rate: float, customers: int) -> dict[str, Any]:
    """All rounds; says each as it comes."""
    with servers() as common:
        rules = common.rules.model_copy(update={"directory": HERE / "rules"})
        ours = ARMS[DIRECT].settings(common.model_copy(update={"rules": rules}), DIRECT)
        prepare_database(ours)
        create_topics(common, [TopicSpec(ALERTS, "Large payments found by Real-Time Mode", "team:fraud")])
        with psycopg.connect(**admin_parameters(common, common.postgres.database), autocommit=True) as connection:
            connection.execute(TABLE)
        arms = {
            DIRECT: (ours, list(ARMS[DIRECT].argv), ARMS[DIRECT].alerts),
            REAL_TIME: (common, [sys.executable, "-m", "bench.real_time_job"], _SEEN),
        }

        def measure(name: str) -> dict[str, Any]:
            settings, argv, alerts = arms[name]
            return one_round(settings, name, argv, alerts, lambda _: time.sleep(WARM_UP))

        rounds = there_and_back(common, customers, rate, list(arms), measure)
        return document(rate, customers, rounds, {REAL_TIME: compared(common)})


def main() -> int:
    """Measure; the result at the usual rate is kept."""
    parser = argparse.ArgumentParser(prog="python -m bench.real_time", description=__doc__)
    parser.add_argument("--rate", type=float, default=RATE, help="events a second")
    rate = parser.parse_args().rate
    keep(run(rate, int(rate * CUSTOMERS_FOR_A_RATE)), RESULT if rate == RATE else None)
    return 0


if __name__ == "__main__":
    sys.exit(main())

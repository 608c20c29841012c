"""What is told of a judged batch: alerts into the database, then decisions back to Kafka."""

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from fraud_domain.micro_batch import Batch
from fraud_domain.topics import FRAUD_ALERTS, FRAUD_DECISIONS
from spark_jobs.alert_sink import AlertSink
from spark_jobs.decision_log import DecisionLog
from spark_jobs.failpoints import Failpoint, reached


class Judged(NamedTuple):
    """A decision to be told, as JSON."""

    customer_id: str
    alert: bool
    decision: str


def tell(sink: AlertSink, log: DecisionLog, batch: Batch, decided: Sequence[Judged]) -> None:
    """Alerts first, because people wait for them, then the decision log."""
    alerts = [each for each in decided if each.alert]
    sink.commit(batch, [orjson.loads(each.decision) for each in alerts])
    for topic, chosen in ((FRAUD_ALERTS, alerts), (FRAUD_DECISIONS, decided)):
        reached(Failpoint.BEFORE_PUBLISH, topic)
        log.publish(topic, ((each.customer_id, each.decision) for each in chosen))
        reached(Failpoint.AFTER_PUBLISH, topic)

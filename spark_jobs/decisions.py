"""The stateful operator of the alert lane: one customer's history in, decisions out.

Rows of a customer are judged in the order of the log (partition, offset), so a decision depends only on
what came before it in Kafka: the same after every restart, whatever the batches were.

The contract is asked in Python too: as Spark expressions over 42 fields it cost 1.4 CPU seconds a batch, however
few rows the batch had (docs/adr/0004).
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson
import pandas as pd
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql import types as t
from pyspark.sql.streaming.stateful_processor import StatefulProcessor, StatefulProcessorHandle

from fraud_domain.acceptance import Acceptance
from fraud_domain.rules import Decision, Engine, History, alert_id, load_texts, read_texts
from fraud_domain.settings import RuleSettings, Settings
from fraud_domain.tables import DECISION_COLUMNS, TRANSACTION_COLUMNS

_POSITION = ("topic", "partition", "offset", "kafka_timestamp")
_TIMES = ("event_time", "kafka_timestamp")
_CARRIED = tuple(
    c.name for c in DECISION_COLUMNS if c.name in {k.name for k in TRANSACTION_COLUMNS} or c.name in _POSITION
)
_OUTPUT = t.StructType(
    [
        t.StructField("customer_id", t.StringType(), False),
        t.StructField("alert", t.BooleanType(), False),
        t.StructField("decision", t.StringType(), False),
    ]
)
_Row = Row(*_OUTPUT.names)
_STATE = t.StructType([t.StructField("history", t.BinaryType())])
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """What a worker needs to judge, as plain texts: unpickling a whole catalogue took most of a task's time."""

    texts: tuple[tuple[str, str], ...]
    settings: str
    future_tolerance_us: int


@lru_cache(maxsize=4)
def _judge(rules: RuleSet) -> tuple[Engine, Acceptance]:
    """The compiled rules and the contract, made once per worker process."""
    engine = Engine(load_texts(dict(rules.texts)), RuleSettings.model_validate_json(rules.settings))
    return engine, Acceptance(rules.future_tolerance_us)


def _forget_zipped_pyspark() -> None:
    """Drop Spark's zip of pyspark from a worker's path; the installed package serves.

    At every task Spark invalidates the import caches, and Python then reads the zip's directory anew: 80 CPU ms
    for each task of each batch, measured.
    """
    for entry in [path for path in sys.path if path.endswith("pyspark.zip")]:
        sys.path.remove(entry)
        sys.path_importer_cache.pop(entry, None)


def load_rules(settings: Settings) -> RuleSet:
    """The rules in force, checked, and the contract's limits, ready to ship to workers.

    Raises:
        fraud_domain.rules.RuleError: the rule files are wrong; the message says where.
    """
    texts = read_texts(settings.rules.directory)
    load_texts(texts)
    return RuleSet(
        tuple(texts.items()), settings.rules.model_dump_json(), span_micros(settings.streams.future_tolerance)
    )


def span_micros(interval: str) -> int:
    """Microseconds of an interval setting such as `5 minutes`.

    Raises:
        ValueError: it is not a number and a unit.
    """
    return int(pd.Timedelta(interval).value // 1_000)


def decision_document(decision: Decision, event: dict[str, Any]) -> dict[str, Any]:
    """A decision as the decision log holds it (`DECISION_COLUMNS`); money as text, times in ISO-8601, UTC."""
    plain = decision.as_json()
    document = {name: event[name] for name in _CARRIED}
    document |= {name: (_EPOCH + timedelta(microseconds=event[name])).isoformat() for name in _TIMES}
    return document | {
        "amount": str(event["amount"]),
        "score": decision.score,
        "level": decision.level,
        "typology": decision.typology,
        "alert": decision.alert,
        "alert_id": alert_id(decision) if decision.alert else None,
        "rule_set_version": decision.rule_set_version,
        "reasons": orjson.dumps(plain["reasons"]).decode(),
        "shadow": orjson.dumps(plain["shadow"]).decode(),
        "abstained": list(decision.abstained),
    }


class DecideCustomer(StatefulProcessor):
    """Judges one customer's transactions against the rules."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules

    def init(self, handle: StatefulProcessorHandle) -> None:
        """Open the state.

        No TTL: a processing-time TTL makes Spark run empty batches without end (2,365 in ten minutes, measured),
        and an availableNow run never ends. Each history is bounded by count and age instead.
        """
        _forget_zipped_pyspark()
        self._engine, self._acceptance = _judge(self._rules)
        self._history = handle.getValueState("history", _STATE)

    def handleInputRows(  # type: ignore[override]  # declared for pandas and Row at once; this operator runs on Row
        self, key: Any, rows: Iterator[Row], timerValues: Any
    ) -> Iterator[Row]:
        """Judge a batch's rows of one customer in log order."""
        stored = self._history.get()
        history = History.load(stored[0]) if stored else self._engine.new_history()
        changed = False
        for row in sorted(rows, key=lambda row: (row.partition, row.offset)):
            at = {name: row[name] for name in _POSITION}
            event = self._acceptance.accept(bytes(row.value), at["kafka_timestamp"])
            decision = self._engine.decide(history, event) if event else None
            if event and decision is not None:
                changed = True
                document = decision_document(decision, event | at)
                yield _Row(document["customer_id"], decision.alert, orjson.dumps(document).decode())
        if changed:
            self._history.update((history.dump(),))

    def close(self) -> None:
        """Nothing to release."""


def decide(messages: DataFrame, rules: RuleSet) -> DataFrame:
    """Kafka messages to (customer_id, alert, decision as JSON) for those that meet the contract, by customer."""
    customer = F.get_json_object(F.col("value").cast("string"), "$.customer_id")
    narrow = messages.select(
        customer.alias("customer_id"),
        "value",
        "topic",
        "partition",
        "offset",
        F.unix_micros("timestamp").alias("kafka_timestamp"),
    ).where(F.col("customer_id").isNotNull())
    return narrow.groupBy("customer_id").transformWithState(DecideCustomer(rules), _OUTPUT, "append", "None")

"""The stateful operator of the alert lane: one customer's history in, decisions out.

Rows of a customer are judged in the order of the log (partition, offset), so a decision depends only on
what came before it in Kafka: the same after every restart, whatever the batches were.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql import types as t
from pyspark.sql.streaming.stateful_processor import StatefulProcessor, StatefulProcessorHandle

from fraud_domain.rules import Catalogue, Decision, Engine, History, alert_id, load_catalogue
from fraud_domain.settings import RuleSettings
from fraud_domain.tables import DECISION_COLUMNS, TRANSACTION_COLUMNS
from spark_jobs.schemas import spark_type

JSON_OPTIONS = {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}
"""The decision log keeps microseconds; Spark's default would cut them to milliseconds."""

_POSITION = ("topic", "partition", "offset", "kafka_timestamp")
_TIMES = ("event_time", "kafka_timestamp")
_INPUT = tuple(c.name for c in TRANSACTION_COLUMNS) + _POSITION
_CARRIED = tuple(
    c.name for c in DECISION_COLUMNS if c.name in {k.name for k in TRANSACTION_COLUMNS} or c.name in _POSITION
)
_OUTPUT = t.StructType(
    [
        t.StructField(c.name, t.LongType() if c.name in _TIMES else spark_type(c.type), c.nullable)
        for c in DECISION_COLUMNS
    ]
)
_DecisionRow = Row(*_OUTPUT.names)
_STATE = t.StructType([t.StructField("history", t.BinaryType())])


@dataclass(frozen=True, slots=True)
class RuleSet:
    """What a worker needs to judge: pickled with the operator, compiled once per worker process."""

    catalogue: Catalogue
    settings: RuleSettings


_ENGINES: dict[tuple[str, str], Engine] = {}


def _engine(rules: RuleSet) -> Engine:
    key = (rules.catalogue.version, rules.settings.model_dump_json())
    if key not in _ENGINES:
        _ENGINES[key] = Engine(rules.catalogue, rules.settings)
    return _ENGINES[key]


@lru_cache(maxsize=8)
def load_rules(directory: Path, settings: RuleSettings) -> RuleSet:
    """The catalogue in a directory, ready to ship to workers."""
    return RuleSet(load_catalogue(directory), settings)


def decision_row(decision: Decision, event: dict[str, Any]) -> Row:
    """A decision as a row of `_OUTPUT`; times stay epoch microseconds here."""
    plain = decision.as_json()
    values = {name: event[name] for name in _CARRIED} | {
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
    return _DecisionRow(*(values[name] for name in _OUTPUT.names))


class DecideCustomer(StatefulProcessor):
    """Judges one customer's transactions against the rules."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules

    def init(self, handle: StatefulProcessorHandle) -> None:
        """Open the state.

        No TTL: a processing-time TTL makes Spark run empty batches without end (2,365 in ten minutes, measured),
        and an availableNow run never ends. Each history is bounded by count and age instead.
        """
        self._engine = _engine(self._rules)
        self._history = handle.getValueState("history", _STATE)

    def handleInputRows(  # type: ignore[override]  # declared for pandas and Row at once; this operator runs on Row
        self, key: Any, rows: Iterator[Row], timerValues: Any
    ) -> Iterator[Row]:
        """Judge a batch's rows of one customer in log order."""
        stored = self._history.get()
        history = History.load(stored[0]) if stored else self._engine.new_history()
        events = [dict(zip(_INPUT, row, strict=True)) for row in rows]
        events.sort(key=lambda event: (event["partition"], event["offset"]))
        for event in events:
            decision = self._engine.decide(history, event)
            if decision is not None:
                yield decision_row(decision, event)
        self._history.update((history.dump(),))

    def close(self) -> None:
        """Nothing to release."""


def decide(transactions: DataFrame, rules: RuleSet) -> DataFrame:
    """Valid transactions to decisions (`DECISION_COLUMNS`), stateful by customer."""
    micros = {name: F.unix_micros(name) for name in _TIMES}
    narrow = transactions.withColumns(micros).select(*_INPUT)
    decided = narrow.groupBy("customer_id").transformWithState(DecideCustomer(rules), _OUTPUT, "append", "None")
    return decided.withColumns({name: F.timestamp_micros(name) for name in _TIMES})

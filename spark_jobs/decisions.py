"""The stateful operator of the alert lane: one subject's history in, decisions out.

A customer's rows are judged in the order of the log (partition, offset), so a decision depends only on what came
before it in Kafka: the same after every restart, whatever the batches were. The rows of a merchant, device,
terminal or address come from several partitions: within a batch they take the same order, and alerts about them
are raised once a window.

The contract is asked in Python too: as Spark expressions over 42 fields it cost 1.4 CPU seconds a batch, however
few rows the batch had (docs/adr/0004).
"""

import sys
from collections.abc import Iterator
from typing import Any

import orjson
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql import types as t
from pyspark.sql.streaming.stateful_processor import StatefulProcessor, StatefulProcessorHandle

from fraud_domain.acceptance import Acceptance
from fraud_domain.rules import Engine, History, Subject
from fraud_domain.topics import TRANSACTIONS
from spark_jobs.judging import POSITION, Limits, decision_document, engine_of
from spark_jobs.published_rules import RuleSet
from spark_jobs.rule_sets import of_this_batch

_OUTPUT = t.StructType(
    [
        t.StructField("customer_id", t.StringType(), False),
        t.StructField("alert", t.BooleanType(), False),
        t.StructField("decision", t.StringType(), False),
    ]
)
_Row = Row(*_OUTPUT.names)
_REMEMBERED = 10_000
"""Events, of about 3 kB each, that a task about other subjects keeps while it judges a batch."""
_STATE = t.StructType([t.StructField("history", t.BinaryType())])


def _forget_zipped_pyspark() -> None:
    """Drop Spark's zip of pyspark from a worker's path; the installed package serves.

    At every task Spark invalidates the import caches, and Python then reads the zip's directory anew: 80 CPU ms
    for each task of each batch, measured.
    """
    for entry in [path for path in sys.path if path.endswith("pyspark.zip")]:
        sys.path.remove(entry)
        sys.path_importer_cache.pop(entry, None)


class DecideSubject(StatefulProcessor):
    """Judges one subject's transactions against the rules."""

    def __init__(self, rules: RuleSet, limits: Limits) -> None:
        self._started_with = rules
        self._limits = limits

    def init(self, handle: StatefulProcessorHandle) -> None:
        """Open the state.

        No TTL: a processing-time TTL makes Spark run empty batches without end (2,365 in ten minutes, measured),
        and an availableNow run never ends. Each history is bounded by count and age instead.
        """
        _forget_zipped_pyspark()
        self._rules = of_this_batch(self._started_with)
        self._acceptance = Acceptance(self._limits.future_tolerance_us)
        self._history = handle.getValueState("history", _STATE)
        self._accepted: dict[tuple[int, int], dict[str, Any] | None] = {}

    def handleInitialState(self, key: Any, initialState: Any, timerValues: Any) -> None:
        """Begin with what files told of a subject (`batch_decisions.HISTORY_SCHEMA`)."""
        self._history.update((initialState.history,))

    def handleInputRows(  # type: ignore[override]  # declared for pandas and Row at once; this operator runs on Row
        self, key: Any, rows: Iterator[Row], timerValues: Any
    ) -> Iterator[Row]:
        """Judge a batch's rows of one subject: what is known about it first, then its transactions in log order."""
        kind, subject = Subject(key[0]), str(key[1])
        engine = engine_of(self._rules, self._limits, kind)
        if not engine.rules:
            return
        stored = self._history.get()
        history = History.load(stored[0]) if stored else engine.new_history()
        changed = False
        for row in sorted(rows, key=_arrival):
            if row.topic != TRANSACTIONS:
                changed |= self._note(engine, history, row)
                continue
            event = self._accept(row, kind)
            if event is None or event[kind.field] != subject:
                continue
            decision = engine.decide(history, event)
            if decision is None:
                continue
            changed = True
            if kind is Subject.CUSTOMER or decision.reasons or decision.shadow:
                document = decision_document(decision, event | {name: row[name] for name in POSITION})
                yield _Row(document["customer_id"], decision.alert, orjson.dumps(document).decode())
        if changed:
            self._history.update((history.dump(),))

    def _accept(self, row: Row, kind: Subject) -> dict[str, Any] | None:
        """The event of a message; one that names several subjects comes several times and is read once."""
        if kind is Subject.CUSTOMER:
            return self._acceptance.accept(bytes(row.value), row.kafka_timestamp)
        place = (row.partition, row.offset)
        if place not in self._accepted:
            if len(self._accepted) >= _REMEMBERED:
                self._accepted.clear()
            self._accepted[place] = self._acceptance.accept(bytes(row.value), row.kafka_timestamp)
        return self._accepted[place]

    def _note(self, engine: Engine, history: History, row: Row) -> bool:
        noted = self._acceptance.accept_note(row.topic, bytes(row.value), row.kafka_timestamp)
        return noted is not None and noted[0] in engine.origins and engine.note(history, *noted)

    def close(self) -> None:
        """Nothing to release."""


def _arrival(row: Row) -> tuple[bool, str, int, int]:
    return row.topic == TRANSACTIONS, row.topic, row.partition, row.offset


def decide_customers(messages: DataFrame, rules: RuleSet, limits: Limits, seed: DataFrame | None) -> DataFrame:
    """Messages to (customer_id, alert, decision as JSON) about customers, one for each accepted transaction.

    `seed` is what a new checkpoint begins with (`seeding.py`).
    """
    customer = F.get_json_object(F.col("value").cast("string"), "$.customer_id")
    keyed = _narrow(messages, F.lit(Subject.CUSTOMER.value).alias("subject_kind"), customer.alias("subject"))
    return _decide(keyed.where(F.col("subject").isNotNull()), rules, limits, seed)


def decide_others(messages: DataFrame, rules: RuleSet, limits: Limits, seed: DataFrame | None) -> DataFrame:
    """Messages to decisions about the merchants, devices, terminals and addresses they name, where a rule hit."""
    others = [subject for subject in Subject if subject is not Subject.CUSTOMER]
    schema = t.StructType([t.StructField(subject.field, t.StringType()) for subject in others])
    named = F.from_json(F.col("value").cast("string"), schema)
    pairs = F.array(*(F.struct(F.lit(s.value).alias("kind"), F.col(f"_n.{s.field}").alias("id")) for s in others))
    exploded = messages.withColumn("_n", named).withColumn("_s", F.explode(pairs))
    keyed = _narrow(exploded, F.col("_s.kind").alias("subject_kind"), F.col("_s.id").alias("subject"))
    return _decide(keyed.where(F.col("subject").isNotNull()), rules, limits, seed)


def _narrow(messages: DataFrame, *key: Column) -> DataFrame:
    time = F.unix_micros("timestamp").alias("kafka_timestamp")
    return messages.select(*key, "value", "topic", "partition", "offset", time)


def _decide(keyed: DataFrame, rules: RuleSet, limits: Limits, seed: DataFrame | None) -> DataFrame:
    key = ("subject_kind", "subject")
    begin = None if seed is None else seed.groupBy(*key)
    processor = DecideSubject(rules, limits)
    return keyed.groupBy(*key).transformWithState(processor, _OUTPUT, "append", "None", initialState=begin)

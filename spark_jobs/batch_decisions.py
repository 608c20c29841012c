"""Decisions over history: silver in, the decisions that the alert lane made or would have made out.

The same engine judges the same events in the same order as live: a subject's labels and account events first (a rule
sees them only from the moment they became known), then its transactions as they arrived: history that was loaded
from files before the topic, each in the order of its positions.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as t

from fraud_domain.rules import ORIGIN_FIELDS, Decision, Engine, Origin, Subject
from fraud_domain.rules.sorted import Arrival, histories_sorted, judge_sorted
from fraud_domain.tables import DECISION_COLUMNS
from fraud_domain.topics import TRANSACTIONS
from spark_jobs.judging import CARRIED, Limits, decision_values, engine_of
from spark_jobs.published_rules import RuleSet
from spark_jobs.schemas import columns_schema

_POSITION = ("topic", "partition", "offset")
_ARRIVED = "kafka_timestamp"
_ROWS_PER_BATCH, _HISTORIES_PER_BATCH = 20_000, 100
HISTORY_SCHEMA = t.StructType(
    [
        t.StructField("subject_kind", t.StringType(), False),
        t.StructField("subject", t.StringType(), False),
        t.StructField("history", t.BinaryType(), False),
    ]
)


def decide_history(
    transactions: DataFrame,
    notes: dict[Origin, DataFrame],
    rules: RuleSet,
    limits: Limits,
    subject: Subject,
    partitions: int,
) -> DataFrame:
    """Decisions (`DECISION_COLUMNS`, `event_date`) about one kind of subject.

    Args:
        transactions: rows of silver.transactions, with all that came before those of interest.
        notes: silver.labels and silver.account_events; those that no rule about the subject asks for may be absent.
        rules: the rule set to judge by.
        limits: as for the alert lane.
        subject: whom to judge. About others than customers only hits are given, as live.
        partitions: how many tasks share the work; each subject is judged by one.
    """
    ordered = _in_order(transactions, notes, engine_of(rules, limits, subject), partitions)
    schema = t.StructType(
        [*columns_schema(DECISION_COLUMNS).fields, t.StructField("event_date", t.DateType(), nullable=False)]
    )

    def judge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        made = engine_of(rules, limits, subject)
        decided = judge_sorted(made, _arrivals(batches))
        if subject is not Subject.CUSTOMER:
            decided = ((event, d) for event, d in decided if d.reasons or d.shadow)
        yield from _record_batches(decided)

    return ordered.mapInArrow(judge, schema)


def remember_history(
    transactions: DataFrame, rules: RuleSet, limits: Limits, subject: Subject, partitions: int
) -> DataFrame:
    """What the alert lane would know of each subject after these transactions: `HISTORY_SCHEMA`, a row a subject."""
    ordered = _in_order(transactions, {}, engine_of(rules, limits, subject), partitions)

    def remember(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        left = histories_sorted(engine_of(rules, limits, subject), _arrivals(batches))
        while some := list(islice(left, _HISTORIES_PER_BATCH)):
            names = [name for name, _ in some]
            blobs = pa.array([history.dump() for _, history in some], pa.binary())
            yield pa.RecordBatch.from_arrays(
                [pa.array([subject.value] * len(some)), pa.array(names), blobs], HISTORY_SCHEMA.names
            )

    return ordered.mapInArrow(remember, HISTORY_SCHEMA)


def _in_order(transactions: DataFrame, notes: dict[Origin, DataFrame], engine: Engine, partitions: int) -> DataFrame:
    """Rows for the engine, each subject's together and as they arrived."""
    subject = engine.subject
    carried = {*engine.inputs, *CARRIED, *_POSITION} - {"event_time", _ARRIVED}
    rows = transactions.where(F.col(subject.field).isNotNull()).select(
        F.col(subject.field).alias("_key"),
        F.lit(Origin.TRANSACTIONS.value).alias("_origin"),
        (F.col("topic") == TRANSACTIONS).alias("_live"),
        F.unix_micros("event_time").alias("event_time"),
        F.unix_micros(_ARRIVED).alias(_ARRIVED),
        *sorted(carried),
    )
    for origin in engine.origins:
        if origin in notes and subject.field in notes[origin].columns:
            rows = rows.unionByName(_note_rows(notes[origin], origin, subject), allowMissingColumns=True)
    return rows.repartition(partitions, "_key").sortWithinPartitions(
        "_key", F.col("_origin") == Origin.TRANSACTIONS.value, "_live", *_POSITION
    )


def _note_rows(notes: DataFrame, origin: Origin, subject: Subject) -> DataFrame:
    known_at = "label_time" if origin is Origin.LABELS else "event_time"
    names = [name for name in ORIGIN_FIELDS[origin] if name != "event_time"]
    return notes.where(F.col(subject.field).isNotNull()).select(
        F.col(subject.field).alias("_key"),
        F.lit(origin.value).alias("_origin"),
        F.lit(True).alias("_live"),
        F.unix_micros(known_at).alias("event_time"),
        *_POSITION,
        *(name for name in names if name not in _POSITION),
    )


def _arrivals(batches: Iterator[pa.RecordBatch]) -> Iterator[Arrival]:
    for batch in batches:
        names = batch.schema.names
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            event = dict(zip(names, values, strict=True))
            yield event["_key"], Origin(event["_origin"]), event


def _record_batches(decided: Iterator[tuple[dict[str, Any], Decision]]) -> Iterator[pa.RecordBatch]:
    names = [column.name for column in DECISION_COLUMNS]
    columns: list[list[Any]] = [[] for _ in (*names, "event_date")]
    for event, decision in decided:
        values = decision_values(decision, event)
        for column, name in zip(columns, names, strict=False):
            column.append(values[name])
        columns[-1].append(event["event_time"])
        if len(columns[0]) >= _ROWS_PER_BATCH:
            yield _record_batch(names, columns)
            columns = [[] for _ in columns]
    if columns[0]:
        yield _record_batch(names, columns)


_ARROW: dict[str, pa.DataType] = {
    "string": pa.string(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "array<string>": pa.list_(pa.string()),
}


def _record_batch(names: list[str], columns: list[list[Any]]) -> pa.RecordBatch:
    types = [_ARROW.get(c.type, pa.decimal128(18, 4)) for c in DECISION_COLUMNS]
    arrays = [pa.array(values, kind) for values, kind in zip(columns, types, strict=False)]
    days = pa.array(columns[-1], pa.timestamp("us", tz="UTC")).cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
    return pa.RecordBatch.from_arrays([*arrays, days], [*names, "event_date"])

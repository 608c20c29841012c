"""One share of the subjects, decided in a process of its own: events in, hits out, both on disk."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from fraud_domain.rules import Engine, Origin, Subject, load_texts
from fraud_domain.rules.sorted import Arrival, judge_sorted
from fraud_domain.rules.vocabulary import ORIGIN_FIELDS
from fraud_domain.settings import RuleSettings
from medallion_services.backtest.events import FIELDS, exact
from medallion_services.mapping.streaming import stream

SCHEMA = pa.schema(
    [
        ("transaction_id", pa.string()),
        ("score", pa.float64()),
        ("alert", pa.bool_()),
        ("hits", pa.list_(pa.int16())),
        ("shadow", pa.list_(pa.int16())),
    ]
)
"""Decisions with at least one hit; rules by their place in the catalogue."""
_BATCH, _BLOCK = 8_192, 20_000
_NOTE_FIELDS = tuple(ORIGIN_FIELDS[Origin.LABELS])


@dataclass(frozen=True, slots=True)
class Share:
    """What one process is to decide: subjects of `kind` whose hash is `part` of `parts`.

    `label_delay_us` is how long after a transaction its label is known to the rules that look at labels.
    """

    rules: dict[str, str]
    settings: RuleSettings
    kind: Subject
    part: int
    parts: int
    events: Path
    truth: Path
    label_delay_us: int
    scratch: Path
    target: Path
    memory_mb: int


@dataclass(frozen=True, slots=True)
class Decided:
    """How many transactions were decided, and by rule how often it abstained."""

    decided: int
    abstained: dict[str, int]


def decide_share(share: Share) -> Decided:
    """Decide a share and write its hits to `share.target`."""
    catalogue = load_texts(share.rules)
    engine = Engine(catalogue, share.settings, share.kind)
    place = {rule.id: index for index, rule in enumerate(catalogue.rules)}
    abstained: Counter[str] = Counter()
    decided = 0
    with pq.ParquetWriter(share.target, SCHEMA, compression="lz4") as writer:
        block: list[tuple[Any, ...]] = []
        for _, decision in judge_sorted(engine, _rows(engine, share)):
            decided += 1
            if decision.abstained:
                abstained.update(decision.abstained)
            if decision.reasons or decision.shadow:
                hits = [place[reason.rule_id] for reason in decision.reasons]
                shadow = [place[reason.rule_id] for reason in decision.shadow]
                block.append((decision.transaction_id, decision.score, decision.alert, hits, shadow))
                if len(block) == _BLOCK:
                    _write(writer, block)
        _write(writer, block)
    return Decided(decided, dict(abstained))


def _write(writer: pq.ParquetWriter, block: list[tuple[Any, ...]]) -> None:
    if block:
        arrays = [pa.array(column, kind) for column, kind in zip(zip(*block, strict=True), SCHEMA.types, strict=True)]
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))
        block.clear()


def needed_fields(engine: Engine) -> list[str]:
    """Contract fields that the engine reads."""
    return [name for name in FIELDS if name in engine.inputs]


def _rows(engine: Engine, share: Share) -> Iterator[Arrival]:
    names = needed_fields(engine)
    key = share.kind.field
    config: dict[str, Any] = {
        "threads": 1,
        "memory_limit": f"{share.memory_mb}MB",
        "temp_directory": str(share.scratch),
    }
    with duckdb.connect(config=config) as connection:
        connection.read_parquet(str(share.events)).create_view("events")
        connection.read_parquet(str(share.truth)).create_view("truth")
        mine = f"{key} IS NOT NULL AND hash({key}) % $parts = $part"
        selected = ", ".join(f'"{name}"' for name in names)
        query = f"SELECT {key} AS _key, event_time AS _at, 1 AS _kind, {selected} FROM events WHERE {mine}"  # noqa: S608
        parameters: dict[str, Any] = {"parts": share.parts, "part": share.part}
        if Origin.LABELS in engine.catalogue.origins(share.kind):
            query += (
                f" UNION ALL BY NAME SELECT {key} AS _key, event_time + $delay AS _at, 0 AS _kind, transaction_id, "  # noqa: S608
                f"event_time + $delay AS event_time, CASE WHEN t.fraud THEN 'fraud' ELSE 'legit' END AS label, "
                f"t.fraud_type, 'chargeback' AS source FROM events JOIN truth t USING (transaction_id) WHERE {mine}"
            )
            parameters["delay"] = share.label_delay_us
        query += " ORDER BY _key, _at, _kind, transaction_id"
        for batch in stream(connection, query, parameters, _BATCH):
            columns = {name: batch.column(name).to_pylist() for name in names}
            columns["amount"] = [] if "amount" not in columns else exact([a or "0" for a in columns["amount"]])
            events = (dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True))
            keys, kinds = batch.column("_key").to_pylist(), batch.column("_kind").to_pylist()
            if "label" not in batch.schema.names:
                for subject, event in zip(keys, events, strict=True):
                    yield subject, Origin.TRANSACTIONS, event
                continue
            notes = [batch.column(name).to_pylist() for name in _NOTE_FIELDS]
            for index, (subject, kind, event) in enumerate(zip(keys, kinds, events, strict=True)):
                if kind:
                    yield subject, Origin.TRANSACTIONS, event
                else:
                    note = {name: notes[place][index] for place, name in enumerate(_NOTE_FIELDS)}
                    yield subject, Origin.LABELS, note

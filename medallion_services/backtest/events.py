"""Events of a backtest on disk: contract fields as the engine takes them, and what is known about fraud."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pyarrow as pa

from fraud_domain.contract import Transaction, field_specs
from medallion_services.mapping.judging import Accepted

FRAUD, FRAUD_TYPE, LINE = "_fraud", "_fraud_type", "_line"
_TYPES = {"timestamp": pa.int64(), "double": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_()}
FIELDS = tuple(Transaction.model_fields)
SCHEMA = pa.schema(
    [
        *((spec.name, _TYPES.get(spec.kind, pa.string())) for spec in field_specs(Transaction)),
        (FRAUD, pa.bool_()),
        (FRAUD_TYPE, pa.string()),
        (LINE, pa.int64()),
    ]
)
"""`event_time` in epoch microseconds, `amount` as text, so that it stays exact."""


def record_batch(rows: list[Accepted]) -> pa.RecordBatch:
    """Accepted rows as one batch of `SCHEMA`."""
    events = [row.event for row in rows]
    columns: list[Any] = []
    for name in FIELDS:
        values: Iterable[Any] = [event[name] for event in events]
        if name == "amount":
            values = [str(value) for value in values]
        columns.append(values)
    columns.append([row.label.fraud if row.label else None for row in rows])
    columns.append([row.label.fraud_type if row.label else None for row in rows])
    columns.append([row.line for row in rows])
    arrays = [pa.array(values, kind) for values, kind in zip(columns, SCHEMA.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def exact(amounts: list[str]) -> list[Decimal]:
    """Amounts as the engine takes them."""
    return [Decimal(amount) for amount in amounts]

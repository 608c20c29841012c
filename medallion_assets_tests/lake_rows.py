"""Rows for a small lake that a test writes itself."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from fraud_domain.tables import TableSpec, location, table
from medallion_assets.defs.quality.lake_sql import empty
from medallion_assets.platform import Platform
from spark_jobs.lake import properties

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
_SAMPLES: dict[str, Any] = {
    "string": "x",
    "binary": b"{}",
    "int": 0,
    "bigint": 0,
    "double": 0.0,
    "boolean": False,
    "date": NOW.date(),
    "timestamp": NOW,
}


def row(spec: TableSpec, **values: Any) -> dict[str, Any]:
    """A row of the table with something in every required column."""
    made: dict[str, Any] = {}
    for column in spec.columns:
        if column.type.startswith("decimal"):
            made[column.name] = Decimal(1)
        elif column.type.startswith("array"):
            made[column.name] = []
        else:
            made[column.name] = None if column.nullable else _SAMPLES[column.type]
    return made | values


def write(platform: Platform, name: str, *rows: dict[str, Any]) -> None:
    """Append rows with the registry's schema, nullability loosened so that violations can be written."""
    spec = table(name)
    schema = pa.schema([field.with_nullable(True) for field in empty(spec).schema])
    data = pa.Table.from_pylist([row(spec, **values) for values in rows], schema=schema)
    write_deltalake(location(platform.settings.lake_root, spec), data, mode="append", configuration=properties(spec))

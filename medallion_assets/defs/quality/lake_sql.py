"""The lake in SQL without a JVM: DuckDB over the Delta tables, for checks that must count exactly."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from fraud_domain.tables import TableSpec, delta_tables
from medallion_assets.platform import Platform

_ARROW: dict[str, pa.DataType] = {
    "string": pa.string(),
    "binary": pa.binary(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}


def _arrow_type(name: str) -> pa.DataType:
    if name.startswith("decimal("):
        precision, scale = name.removeprefix("decimal(").removesuffix(")").split(",")
        return pa.decimal128(int(precision), int(scale))
    if name.startswith("array<string"):
        return pa.list_(pa.string())
    return _ARROW.get(name, pa.string())


def empty(spec: TableSpec) -> pa.Table:
    """A table of the registry without rows, for one that no stream has written yet."""
    return pa.schema([(c.name, _arrow_type(c.type)) for c in spec.columns]).empty_table()


@contextmanager
def lake_sql(platform: Platform) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection in which every Delta table is a view `layer.name`, as of now."""
    with duckdb.connect(config={"TimeZone": "UTC", "threads": 2}) as connection:
        for spec in delta_tables():
            delta = platform.delta(spec)
            source: Any = empty(spec) if delta is None else delta.to_pyarrow_dataset()
            connection.register(f"{spec.layer}__{spec.name}", source)
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {spec.layer}")
            connection.execute(
                f"CREATE VIEW {spec.full_name} AS SELECT * FROM {spec.layer}__{spec.name}"
            )
        yield connection


def rows(connection: duckdb.DuckDBPyConnection, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Rows of a query."""
    return connection.execute(query, list(parameters)).fetchall()


def scalar(connection: duckdb.DuckDBPyConnection, query: str, *parameters: Any) -> int:
    """The one number of a query."""
    return int(rows(connection, query, *parameters)[0][0] or 0)

"""The lake in SQL without a JVM: DuckDB over the Delta tables, for checks that must count exactly."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import Schema

from fraud_domain.tables import TableSpec, delta_tables
from medallion_assets.platform import Platform


def empty(spec: TableSpec) -> pa.Table:
    """A table of the registry without rows, for one that no stream has written yet."""
    schema = Schema.from_json(json.dumps(spec.delta_schema)).to_arrow()
    return pa.schema(schema).empty_table()


@contextmanager
def lake_sql(platform: Platform) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection in which every Delta table is a view `layer.name`, as of now."""
    with duckdb.connect(config={"threads": 2}) as connection:
        for spec in delta_tables():
            delta = platform.delta(spec)
            source: Any = empty(spec) if delta is None else delta.to_pyarrow_dataset()
            connection.register(f"{spec.layer}__{spec.name}", source)
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {spec.layer}")
            connection.execute(f"CREATE VIEW {spec.full_name} AS SELECT * FROM {spec.layer}__{spec.name}")
        yield connection


def rows(connection: duckdb.DuckDBPyConnection, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Rows of a query."""
    return connection.execute(query, list(parameters)).fetchall()


def scalar(connection: duckdb.DuckDBPyConnection, query: str, *parameters: Any) -> int:
    """The one number of a query."""
    return int(rows(connection, query, *parameters)[0][0] or 0)

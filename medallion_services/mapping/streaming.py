"""Query results as a stream of Arrow batches: one batch in memory at a time."""

from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import pyarrow as pa


def stream(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Any] | None = None, rows: int = 8_192
) -> Iterator[pa.RecordBatch]:
    """Batches of at most `rows` rows. A relation, not a cursor: a cursor's result is copied as a whole."""
    quiet(connection)
    relation = connection.sql(query, params=dict(parameters)) if parameters else connection.sql(query)
    yield from relation.to_arrow_reader(rows)


def quiet(connection: duckdb.DuckDBPyConnection) -> None:
    """Let no bar of DuckDB's own into what a command prints; it is a setting of sessions only."""
    locked = connection.execute("SELECT current_setting('lock_configuration')").fetchone()
    if locked is not None and str(locked[0]).lower() == "false":
        connection.execute("SET enable_progress_bar = false")

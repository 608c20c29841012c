"""Query results as a stream of Arrow batches: one batch in memory at a time."""

from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import pyarrow as pa


def stream(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Any] | None = None, rows: int = 8_192
) -> Iterator[pa.RecordBatch]:
    """Batches of at most `rows` rows. A relation, not a cursor: a cursor's result is copied as a whole."""
    relation = connection.sql(query, params=dict(parameters)) if parameters else connection.sql(query)
    yield from relation.to_arrow_reader(rows)

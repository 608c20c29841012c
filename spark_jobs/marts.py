"""Gold to the PostgreSQL marts: small aggregates, one transaction per batch, each batch once."""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from fraud_domain.micro_batch import Batch
from fraud_domain.tables import TableSpec
from spark_jobs.additive_merge import Additive
from spark_jobs.failpoints import Failpoint, reached
from spark_jobs.lease import Parameters


def _qualified(spec: TableSpec) -> sql.Composable:
    return sql.Identifier(spec.layer, spec.name)


def _upsert(spec: TableSpec, source: sql.Composable, assignments: sql.Composable) -> sql.Composed:
    columns = sql.SQL(", ").join(sql.Identifier(c) for c in spec.column_names)
    key = sql.SQL(", ").join(sql.Identifier(c) for c in spec.key)
    return sql.SQL("INSERT INTO {} AS t ({}) {} ON CONFLICT ({}) DO UPDATE SET {}").format(
        _qualified(spec), columns, source, key, assignments
    )


def _values(spec: TableSpec) -> sql.Composable:
    return sql.SQL("VALUES ({})").format(sql.SQL(", ").join(sql.Placeholder() for _ in spec.column_names))


def upsert(spec: TableSpec, sums: Sequence[str], source: sql.Composable) -> sql.Composed:
    """The statement that adds the rows of `source` (VALUES or a SELECT) to a mart."""
    added = sql.SQL(", ").join(sql.SQL("{c} = t.{c} + EXCLUDED.{c}").format(c=sql.Identifier(c)) for c in sums)
    return _upsert(spec, source, added)


def add_to_marts(
    parameters: Parameters, batch: Batch, updates: Sequence[tuple[TableSpec, Additive, Sequence[tuple[Any, ...]]]]
) -> bool:
    """Add a batch's aggregates to the marts, or do nothing when the ledger already has the batch.

    The first batch of a generation empties the marts, as `merge_additive` does with the tables.

    Returns:
        Whether the batch was new.
    """
    with psycopg.connect(**parameters) as connection, connection.transaction():
        if not enter(connection, batch):
            return False
        for spec, rule, rows in updates:
            if batch.batch_id == 0:
                connection.execute(sql.SQL("DELETE FROM {}").format(_qualified(spec)))
            connection.cursor().executemany(upsert(spec, rule.sums, _values(spec)), rows)
        reached(Failpoint.IN_MART_TRANSACTION)
    reached(Failpoint.AFTER_MART_COMMIT)
    return True


def replace_in_mart(parameters: Parameters, spec: TableSpec, rows: Sequence[tuple[Any, ...]]) -> None:
    """Upsert absolute values (complete mode): repeating it changes nothing."""
    measures = [c for c in spec.column_names if c not in spec.key]
    newest = sql.SQL(", ").join(sql.SQL("{c} = EXCLUDED.{c}").format(c=sql.Identifier(c)) for c in measures)
    with psycopg.connect(**parameters) as connection, connection.transaction():
        connection.cursor().executemany(_upsert(spec, _values(spec), newest), rows)


def enter(connection: psycopg.Connection[tuple[Any, ...]], batch: Batch) -> bool:
    """Whether the batch is new to the ledger, which has it from now on."""
    cursor = connection.execute(
        "INSERT INTO fraud.batch_ledger (stream, generation, batch_id, epoch, alerts, payload_sha256)"
        " VALUES (%s, %s, %s, 0, 0, '') ON CONFLICT DO NOTHING",
        (batch.stream, batch.generation, batch.batch_id),
    )
    return cursor.rowcount == 1

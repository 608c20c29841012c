"""Commits to Delta tables of a local lake in this process, by delta-rs, without the jobs that Spark needs for them.

The idempotence key lies in the commit where Spark's own writers put it, so either finds the other's.
"""

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction, write_deltalake

from fraud_domain.micro_batch import Batch
from fraud_domain.tables import TableSpec, location

ALL = "true"
"""Predicate of every row."""
_HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
"""Logs are cut by `lake_maintenance`, which knows how far their readers are."""


def write_once(rows: pa.Table, lake_root: str, spec: TableSpec, batch: Batch, instead_of: str | None = None) -> None:
    """Append a batch, or put it in the place of what a predicate chooses; nothing when the table has it already.

    Raises:
        ValueError: nothing in a required column.
        pyarrow.ArrowInvalid: a value does not fit into its column.
        deltalake.exceptions.CommitFailedError: another wrote or noted what this overwrites or notes.
    """
    found = opened_unless_done(lake_root, spec, batch)
    if found is not None:
        commit(found, fitted(rows, found), spec, batch, instead_of)


def opened_unless_done(lake_root: str, spec: TableSpec, batch: Batch) -> DeltaTable | None:
    """The table as it is now; None when it holds the batch already."""
    found = DeltaTable(location(lake_root, spec))
    done = found.transaction_version(batch.app_id(spec.full_name))
    return None if done is not None and done >= batch.batch_id else found


def fitted(rows: pa.Table, found: DeltaTable) -> pa.Table:
    """Rows with the columns and types of a table.

    Raises:
        ValueError: nothing in a required column.
        pyarrow.ArrowInvalid: a value does not fit into its column.
    """
    schema = pa.schema(found.schema().to_arrow())
    return rows.select(schema.names).cast(schema)


def commit(found: DeltaTable, rows: pa.Table, spec: TableSpec, batch: Batch, instead_of: str | None = None) -> None:
    """Append rows with their idempotence key, or put them in the place of those that a predicate in SQL chooses.

    Raises:
        deltalake.exceptions.CommitFailedError: since the table was opened, another wrote rows of the predicate, or
            noted a batch of the same key.
    """
    keyed = CommitProperties(app_transactions=[Transaction(batch.app_id(spec.full_name), batch.batch_id)])
    if instead_of is None:
        write_deltalake(found, rows, mode="append", commit_properties=keyed, post_commithook_properties=_HOOKS)
    else:
        write_deltalake(
            found,
            rows,
            mode="overwrite",
            predicate=instead_of,
            commit_properties=keyed,
            post_commithook_properties=_HOOKS,
        )

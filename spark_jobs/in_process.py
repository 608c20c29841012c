"""Commits to Delta tables in this process, by delta-rs: a batch's rows without the jobs that Spark needs for them.

Only for tables of a local lake and rows that fit into memory. The idempotence key lies in the commit where Spark's own
writers put it, so either finds the other's.
"""

from collections.abc import Callable

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction, write_deltalake
from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame

FEW_ROWS = 250_000
"""Up to here the rows of a batch are taken into this process: some 300 MB of transactions with their messages."""
ALL = "true"
"""Predicate of every row."""
_HOOKS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
"""Logs are cut by `lake_maintenance`, which knows how far their readers are."""


def takes(path: str, rows: int) -> bool:
    """Whether so many rows of a table at this place are written in this process."""
    return "://" not in path and rows <= FEW_ROWS


Finish = Callable[[pa.Table], pa.Table]
"""The last step that makes rows of a frame into those of a table."""


def wrote(
    frame: DataFrame,
    path: str,
    app_id: str,
    version: int,
    rows: int,
    instead_of: str | None = None,
    finish: Finish | None = None,
) -> bool:
    """Commit a batch of at most `rows` if this process can; whether the table has it now, or had it before.

    Raises:
        ValueError: nothing in a required column.
        deltalake.exceptions.CommitFailedError: another wrote or noted what this overwrites or notes.
    """
    if not takes(path, rows):
        return False
    found = opened_unless_done(path, app_id, version)
    if found is None:
        return True
    held = rows_for(found, frame, finish)
    if held is None:
        return False
    commit(found, held, app_id, version, instead_of)
    return True


def opened_unless_done(path: str, app_id: str, version: int) -> DeltaTable | None:
    """The table as it is now; None when it holds the batch already."""
    found = DeltaTable(path)
    done = found.transaction_version(app_id)
    return None if done is not None and done >= version else found


def rows_for(found: DeltaTable, frame: DataFrame, finish: Finish | None = None) -> pa.Table | None:
    """Rows with the columns and types of a table; None when they are larger than Spark lets into its driver.

    Raises:
        ValueError: nothing in a required column.
        pyarrow.ArrowInvalid: a value does not fit into its column.
    """
    schema = pa.schema(found.schema().to_arrow())
    try:
        rows = frame.toArrow() if finish else frame.select(*schema.names).toArrow()
    except Py4JJavaError as error:
        if "spark.driver.maxResultSize" in str(error):
            return None
        raise
    return (finish(rows).select(schema.names) if finish else rows).cast(schema)


def commit(found: DeltaTable, rows: pa.Table, app_id: str, version: int, instead_of: str | None = None) -> None:
    """Append rows with their idempotence key, or put them in the place of those that a predicate in SQL chooses.

    Raises:
        deltalake.exceptions.CommitFailedError: since the table was opened, another wrote rows of the predicate, or
            noted a batch of the same key.
    """
    keyed = CommitProperties(app_transactions=[Transaction(app_id, version)])
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

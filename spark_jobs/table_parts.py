"""A batch whose rows belong to several tables: each table's part is where a column is true."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame

from fraud_domain.micro_batch import Batch
from fraud_domain.tables import TableSpec
from spark_jobs.batch_rows import as_frame, at_hand, chosen, counts
from spark_jobs.lake import append_once
from spark_jobs.rebase import Rebase
from spark_jobs.rebased_rows import missing, touches


@dataclass(frozen=True, slots=True)
class Part:
    """A table's part of a batch; `key` is what a rebase knows its rows by."""

    spec: TableSpec
    flag: str
    key: tuple[str, ...]


def needed(parts: Sequence[Part]) -> list[str]:
    """The columns of a batch that its tables take, and those that part it."""
    columns = [column for part in parts for column in part.spec.column_names]
    return list(dict.fromkeys([*columns, *(part.flag for part in parts)]))


def append_parts(
    frame: DataFrame, lake_root: str, batch: Batch, parts: Sequence[Part], rebase: Rebase | None = None
) -> None:
    """Append each table's rows once per batch, after a rebase only those that it does not hold yet.

    Committed is only where there are rows: an empty Delta commit costs as much as a full one.
    """
    with at_hand(frame, lake_root) as rows:
        again = rebase if rebase and touches(rebase, rows) else None
        for part, count in zip(parts, counts(rows, [part.flag for part in parts]), strict=True):
            if count:
                mine = chosen(rows, part.flag)
                if again:
                    mine = missing(again, as_frame(frame.sparkSession, mine), lake_root, part.spec, part.key)
                append_once(mine, lake_root, part.spec, batch)

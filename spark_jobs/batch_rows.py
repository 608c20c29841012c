"""Rows of a micro-batch while it is written: an Arrow table in this process where that can be, else a frame of Spark.

Spark computes a batch once and hands its rows over in one job; what is left, to part them by table and to add them up,
takes milliseconds here and jobs there. Rows that are too many, and tables of an object store, stay with Spark.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraud_domain.object_store import is_local

Rows: TypeAlias = pa.Table | DataFrame
FEW_ROWS = 250_000
"""Up to here rows are taken into this process when their number is known: some 300 MB of messages."""


def taken(frame: DataFrame, lake_root: str, most: int | None = None) -> pa.Table | None:
    """The rows of a frame, of which there are at most `most`; None when they have to stay with Spark.

    Without `most` Spark itself says when they are larger than its driver lets in (`spark.driver.maxResultSize`).
    """
    if not is_local(lake_root) or (most is not None and most > FEW_ROWS):
        return None
    try:
        return frame.toArrow()
    except Py4JJavaError as error:
        if "spark.driver.maxResultSize" in str(error):
            return None
        raise


@contextmanager
def at_hand(frame: DataFrame, lake_root: str) -> Iterator[Rows]:
    """The rows of a frame for the length of a block, computed once however often they are asked for."""
    rows = taken(frame, lake_root)
    if rows is not None:
        yield rows
        return
    frame.persist()
    try:
        yield frame
    finally:
        frame.unpersist()


def chosen(rows: Rows, flag: str) -> Rows:
    """The rows where a column is true."""
    return rows.where(F.col(flag)) if isinstance(rows, DataFrame) else rows.filter(pc.field(flag))


def counts(rows: Rows, flags: Sequence[str]) -> tuple[int, ...]:
    """In how many rows each of some columns is true."""
    if isinstance(rows, DataFrame):
        return tuple(rows.agg(*(F.count_if(F.col(flag)) for flag in flags)).collect()[0])
    return tuple(pc.sum(rows[flag]).as_py() or 0 for flag in flags)


def as_frame(spark: SparkSession, rows: Rows) -> DataFrame:
    """The rows where only Spark can go on."""
    return rows if isinstance(rows, DataFrame) else spark.createDataFrame(rows)


def as_tuples(rows: Rows, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """The rows as a database takes them."""
    if isinstance(rows, DataFrame):
        # Not `toLocalIterator`: Spark 4.2 never forgets its jobs, nor what they held (measured in docs/performance.md).
        return [tuple(row) for row in rows.select(*columns).collect()]
    return list(zip(*(rows[column].to_pylist() for column in columns), strict=True))

"""What an invariant looks at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import psycopg
from psycopg.rows import DictRow

from fraud_domain.ingest_gaps import Gap
from medallion_assets.defs.quality.finding import Finding
from medallion_assets.platform import Platform


def accepted_gaps(database: psycopg.Connection[DictRow]) -> tuple[Gap, ...]:
    """Every gap that was accepted (`medallion checkpoint rebase`)."""
    found = database.execute("SELECT topic, partition, first_offset, last_offset FROM fraud.ingest_gaps").fetchall()
    return tuple(Gap(g["topic"], g["partition"], g["first_offset"], g["last_offset"]) for g in found)


@dataclass(frozen=True, slots=True)
class View:
    """The lake and the database at one moment."""

    platform: Platform
    lake: duckdb.DuckDBPyConnection
    database: psycopg.Connection[DictRow]
    settled_before: datetime
    gaps: Sequence[Gap] = ()


Invariant = Callable[[View], Finding]

"""A DuckDB connection over the lake, for people and notebooks."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from fraud_domain.settings import Settings
from fraud_domain.tables import delta_tables
from medallion_services.errors import UserError
from medallion_services.lake_tables import rows_of

_QUESTIONS = Path(__file__).parent / "questions.sql"
_VIEW = re.compile(r"^-- (?P<text>.+)\nCREATE VIEW ask\.(?P<name>\w+) AS$", re.MULTILINE)
_MEMORY = "1GB"


@dataclass(frozen=True, slots=True)
class Answer:
    """Column names and rows."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def questions() -> dict[str, str]:
    """Each named question with what it answers."""
    return {found["name"]: found["text"] for found in _VIEW.finditer(_QUESTIONS.read_text(encoding="utf-8"))}


@contextmanager
def lake(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Every Delta table as the view `layer.table` and every question as `ask.name`, as of now, in UTC.

    Nothing can be written to the lake through it, and no other file can be read or written.
    """
    with duckdb.connect(config={"memory_limit": _MEMORY}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE SCHEMA ask")
        for spec in delta_tables():
            connection.register(f"{spec.layer}__{spec.name}", rows_of(settings, spec))
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {spec.layer}")
            connection.execute(f"CREATE VIEW {spec.full_name} AS FROM {spec.layer}__{spec.name}")
        connection.execute(_QUESTIONS.read_text(encoding="utf-8"))
        connection.execute("SET enable_external_access = false")
        yield connection


def ask(settings: Settings, query: str, limit: int | None = None) -> Answer:
    """The answer to a query.

    Raises:
        UserError: DuckDB does not understand it; the message is DuckDB's.
    """
    with lake(settings) as connection:
        try:
            cursor = connection.execute(query)
            rows = cursor.fetchall() if limit is None else cursor.fetchmany(limit)
        except duckdb.Error as error:
            raise UserError(f"{error}\n`medallion lake tables` lists tables and questions") from error
        return Answer(tuple(column[0] for column in cursor.description or ()), rows)


def ask_by_name(settings: Settings, name: str, limit: int | None = None) -> Answer:
    """The answer to a named question.

    Raises:
        UserError: there is no such question.
    """
    if name not in questions():
        raise UserError(f"no question '{name}'; known: {', '.join(questions())}")
    return ask(settings, f"FROM ask.{name}", limit)

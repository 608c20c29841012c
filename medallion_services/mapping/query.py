"""The one query of a mapping: every contract field as text, or a mark that refuses the row."""

import json
from collections.abc import Iterator
from collections.abc import Mapping as Dict
from typing import Any

import duckdb
import pyarrow as pa

from fraud_domain.rules import Problem
from medallion_services.mapping.loading import Mapping, closest, mapping_error
from medallion_services.mapping.macros import macros
from medallion_services.mapping.model import Amounts, Constant
from medallion_services.mapping.reading import LINE
from medallion_services.mapping.streaming import quiet

LABEL_COLUMNS = ("_fraud", "_fraud_type")
EXPRESSION_FAILED = "EXPRESSION_FAILED"
_SOURCE = "file"
_MEMORY = "256MB"
Place = tuple[str | int, ...]


def mapping_connection(timezone: str | None, amounts: Amounts) -> duckdb.DuckDBPyConnection:
    """A connection with the macros, in which an expression can reach no other file and no network."""
    connection = duckdb.connect(
        config={
            "threads": 2,
            "memory_limit": _MEMORY,
            "python_enable_replacements": False,
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    quiet(connection)
    # It would take an expression that occurs twice out of its TRY, and one bad cell would stop the file.
    connection.execute("SET disabled_optimizers = 'common_subexpressions'")
    for statement in macros(timezone, amounts):
        connection.execute(statement)
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def field_expressions(mapping: Mapping) -> dict[str, tuple[Place, str]]:
    """Contract field or label column -> place in the mapping, and its SQL."""
    file = mapping.file
    found: dict[str, tuple[Place, str]] = {name: (("fields", name), sql) for name, sql in file.fields.items()}
    if file.labels and file.labels.file is None:
        found["_fraud"] = (("labels", "fraud"), file.labels.fraud)
        if file.labels.fraud_type:
            found["_fraud_type"] = (("labels", "fraud_type"), file.labels.fraud_type)
    return found


def check_expressions(
    connection: duckdb.DuckDBPyConnection, mapping: Mapping, found: Dict[str, tuple[Place, str]], schema: pa.Schema
) -> None:
    """Compile every expression against the file's columns.

    Raises:
        UserError: some do not fit; each is named by its line, with the closest column names.
    """
    connection.register(_SOURCE, schema.empty_table())
    problems: list[Problem] = []
    try:
        for place, sql in found.values():
            unknown = [name for name in column_names(connection, sql) if not _known(name, schema.names)]
            for name in unknown:
                message = f"no column '{name}' in the file{closest(name, schema.names)}"
                problems.append(mapping.problem(place, f"{'.'.join(map(str, place))}: {message}"))
            if not unknown:
                try:
                    connection.execute(f"SELECT {_guarded(sql)} FROM {_SOURCE}").fetchall()  # noqa: S608 - the mapping is SQL
                except duckdb.Error as error:
                    reason = str(error).splitlines()[0]
                    problems.append(mapping.problem(place, f"{'.'.join(map(str, place))}: {reason}"))
    finally:
        connection.unregister(_SOURCE)
    if problems:
        raise mapping_error(problems)


def column_names(connection: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    """Columns that an expression names, by DuckDB's own parser; none when it cannot be parsed."""
    row = connection.execute("SELECT json_serialize_sql(?)", [f"SELECT {sql}"]).fetchone()
    tree = json.loads(row[0]) if row else {}
    names: list[str] = []
    bound: set[str] = set()
    pending: list[Any] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending += reversed(node)
        elif isinstance(node, dict):
            if node.get("class") == "LAMBDA":
                bound |= {name for name in _columns(node.get("lhs"))}
            if node.get("class") == "COLUMN_REF":
                names.append(node["column_names"][-1])
            pending += reversed(list(node.values()))
    return [name for name in dict.fromkeys(names) if name not in bound]


def _columns(node: Any) -> list[str]:
    if isinstance(node, dict) and "column_names" in node:
        return list(node["column_names"])
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [name for child in children for name in _columns(child)]


def _known(name: str, names: list[str]) -> bool:
    return name.lower() in {each.lower() for each in names}


def mapped(
    connection: duckdb.DuckDBPyConnection, mapping: Mapping, schema: pa.Schema, source: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Rows as `LINE` and one text column per expression, constant and default, in the file's order."""
    reader = pa.RecordBatchReader.from_batches(schema, source)
    connection.register(_SOURCE, reader)
    try:
        result = connection.sql(f"SELECT {', '.join(_selection(mapping))} FROM {_SOURCE}")  # noqa: S608
        yield from result.to_arrow_reader(8_192)
    finally:
        connection.unregister(_SOURCE)


def _selection(mapping: Mapping) -> Iterator[str]:
    yield LINE
    defaults = mapping.file.defaults
    for name, (_, sql) in field_expressions(mapping).items():
        value = _guarded(sql)
        if name in defaults:
            value = f"coalesce({value}, {_constant(defaults[name])})"
        yield f'{value} AS "{name}"'
    for name, constant in mapping.file.constants.items():
        yield f'{_constant(constant)} AS "{name}"'
    for name in defaults.keys() - mapping.file.fields.keys() - mapping.file.constants.keys():
        yield f'{_constant(defaults[name])} AS "{name}"'


def _guarded(sql: str) -> str:
    """The expression as text; a mark where its evaluation fails, so that one row cannot stop the file."""
    failed = f"chr(1) || '{EXPRESSION_FAILED}' || chr(1)"
    text = f"nullif(trim(CAST(({sql}) AS VARCHAR)), '')"
    # chr(2) stands for a missing value, to tell it from a failure: TRY makes both NULL.
    return f"nullif(coalesce(TRY(coalesce({text}, chr(2))), {failed}), chr(2))"


def _constant(value: Constant) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "'" + text.replace("'", "''") + "'"

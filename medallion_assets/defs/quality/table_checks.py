"""Checks that every table of the lake gets: schema, key, required columns, card numbers."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import duckdb
from deltalake import DeltaTable

from fraud_domain.cards import PAN_PATTERN, luhn_valid
from fraud_domain.tables import TableSpec
from medallion_assets.defs.quality.finding import Finding
from medallion_assets.defs.quality.lake_sql import rows

_SHOWN = 5

LakeCheck = Callable[[duckdb.DuckDBPyConnection, TableSpec], Finding]


def key_is_unique(lake: duckdb.DuckDBPyConnection, spec: TableSpec) -> Finding:
    """No two rows share the table's key."""
    key = ", ".join(f'"{column}"' for column in spec.key)
    twice = rows(
        lake,
        f"SELECT {key}, count(*) FROM {spec.full_name} GROUP BY ALL HAVING count(*) > 1 LIMIT {_SHOWN}",
    )
    if twice:
        return Finding(False, f"key ({', '.join(spec.key)}) is not unique, such as {twice}")
    return Finding(True, f"({', '.join(spec.key)}) is unique")


def required_columns_filled(lake: duckdb.DuckDBPyConnection, spec: TableSpec) -> Finding:
    """Columns declared NOT NULL hold no null."""
    required = [c.name for c in spec.columns if not c.nullable]
    counts = ", ".join(f'count(*) FILTER (WHERE "{name}" IS NULL)' for name in required)
    found = rows(lake, f"SELECT {counts} FROM {spec.full_name}")[0]
    empty = {name: count for name, count in zip(required, found, strict=True) if count}
    if empty:
        return Finding(False, f"nulls in required columns: {empty}")
    return Finding(True, f"{len(required)} required columns are filled")


def no_card_numbers(lake: duckdb.DuckDBPyConnection, spec: TableSpec) -> Finding:
    """No text or payload holds digits that look like a card number and pass Luhn (PCI DSS 3.5.1)."""
    for column in spec.columns:
        if column.type not in {"string", "binary"}:
            continue
        text = f'"{column.name}"' if column.type == "string" else f'decode("{column.name}")'
        guarded = f"try({text})" if column.type == "binary" else text
        # RE2 has no look-around: take every long word and let Python judge it.
        candidates = rows(
            lake,
            f"SELECT DISTINCT unnest(regexp_extract_all({guarded}, '[0-9A-Za-z]{{13,}}')) FROM {spec.full_name}",
        )
        found = sum(1 for (digits,) in candidates if is_card_number(digits))
        if found:
            return Finding(
                False, f"column {column.name} holds {found} different card numbers; their values are withheld"
            )
    return Finding(True, "no card numbers in any text column")


def is_card_number(digits: str) -> bool:
    """Whether a run of digits looks like a card number and passes Luhn."""
    return bool(re.fullmatch(PAN_PATTERN, digits)) and luhn_valid(digits)


def schema_matches(delta: DeltaTable | None, spec: TableSpec) -> Finding:
    """The Delta schema is what the registry says, column by column."""
    if delta is None:
        return Finding(True, "not written yet")
    actual = {f["name"]: f["type"] for f in json.loads(delta.schema().to_json())["fields"]}
    wanted = {f["name"]: f["type"] for f in spec.delta_schema["fields"]}
    wrong = {
        name: f"{actual.get(name, 'missing')} instead of {kind}"
        for name, kind in wanted.items()
        if _plain(actual.get(name)) != _plain(kind)
    }
    extra = sorted(set(actual) - set(wanted))
    if wrong or extra:
        return Finding(False, f"schema differs from the registry: wrong {wrong}, unknown {extra}")
    return Finding(True, f"{len(wanted)} columns as declared")


def _plain(type_: Any) -> Any:
    """A Delta type without field metadata, which writers add as they like."""
    if isinstance(type_, dict):
        return {key: _plain(value) for key, value in type_.items() if key != "metadata"}
    return [_plain(each) for each in type_] if isinstance(type_, list) else type_


LAKE_CHECKS: Mapping[str, LakeCheck] = {
    "key_is_unique": key_is_unique,
    "required_columns_filled": required_columns_filled,
    "no_card_numbers": no_card_numbers,
}
"""By check name; `schema_matches` stands apart, because it reads the log and not the rows."""

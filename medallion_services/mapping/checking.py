"""What a mapping makes of the first rows of a file, and what it leaves out."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from fraud_domain.cards import TokenKey
from fraud_domain.contract import EDGE_ONLY_FIELDS, Transaction
from fraud_domain.rules import Catalogue
from medallion_services.mapping.judging import DERIVED_BY_CARD, Accepted
from medallion_services.mapping.loading import Mapping
from medallion_services.mapping.opening import OpenFile, open_file
from medallion_services.mapping.query import column_names, field_expressions
from medallion_services.mapping.reading import LINE, batches
from medallion_services.mapping.refusal import Refusal, shown
from medallion_services.mapping.silent_rules import Silent, silent_rules


@dataclass(frozen=True, slots=True)
class MappedValue:
    """One contract field of a row: where it comes from and what became of it."""

    field: str
    source: str
    before: str
    after: str | None


@dataclass(frozen=True, slots=True)
class MappedRow:
    """One row of the file, explained."""

    line: int
    values: tuple[MappedValue, ...]
    fraud: bool | None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The first rows under a mapping; `rows` accepted and `refused` together are all that were looked at."""

    file: str
    mapping: str
    columns: tuple[str, ...]
    unused_columns: tuple[str, ...]
    rows: tuple[MappedRow, ...]
    refused: tuple[Refusal, ...]
    empty_fields: tuple[str, ...]
    silent_rules: tuple[Silent, ...]

    def as_json(self) -> dict[str, Any]:
        """JSON types only."""
        return {**asdict(self), "refused": [refusal.as_json() for refusal in self.refused]}


def check_mapping(
    path: Path, mapping: Mapping, rows: int, catalogue: Catalogue, token_key: Callable[[], TokenKey]
) -> CheckReport:
    """Map the first `rows` rows of a file and explain what comes of them.

    Raises:
        UserError: the file cannot be read, or the mapping does not fit it.
    """
    with open_file(path, mapping) as file:
        refused: list[Refusal] = []
        sources = _sources(file, rows)
        accepted = list(file.accepted(token_key, refused.append, first=rows))
        lines = sorted([row.line for row in accepted] + [refusal.line for refusal in refused])[:rows]
        last = lines[-1] if lines else 0
        used = _used(file)
        produced = _produced(mapping)
        empty = tuple(name for name in Transaction.model_fields if name not in produced)
        return CheckReport(
            path.name,
            mapping.name,
            tuple(file.names),
            tuple(name for name in file.names if name.lower() not in used),
            tuple(_explained(file, row, sources.get(row.line, {})) for row in accepted if row.line <= last),
            tuple(sorted((r for r in refused if r.line <= last), key=lambda r: r.line)),
            empty,
            tuple(silent_rules(catalogue, empty)),
        )


def _produced(mapping: Mapping) -> set[str]:
    names = {*mapping.file.fields, *mapping.file.constants, *mapping.file.defaults, "transaction_id"}
    return names | (DERIVED_BY_CARD if names & EDGE_ONLY_FIELDS else set())


def _used(file: OpenFile) -> set[str]:
    found = field_expressions(file.mapping).values()
    return {name.lower() for _, sql in found for name in column_names(file.connection, sql)}


def _sources(file: OpenFile, rows: int) -> dict[int, dict[str, Any]]:
    """The first rows as they stand in the file, by line."""
    part = file.mapping.file.source
    first = next(batches(file.path, part, file.names, lambda refusal: None), None)
    found = first.slice(0, rows).to_pylist() if first is not None else []
    return {row.pop(LINE): {name.lower(): value for name, value in row.items()} for row in found}


def _explained(file: OpenFile, row: Accepted, source: dict[str, Any]) -> MappedRow:
    values = []
    for name, (_, sql) in field_expressions(file.mapping).items():
        if name.startswith("_"):
            continue
        target = "card_token" if name in EDGE_ONLY_FIELDS else name
        used = column_names(file.connection, sql)
        before = ", ".join(f"{each}={_cell(source.get(each.lower()))}" for each in used)
        values.append(MappedValue(target, sql, before, _text(row, target)))
    for name in {**file.mapping.file.constants, **file.mapping.file.defaults}:
        if name not in file.mapping.file.fields:
            values.append(MappedValue(name, "constant", "", _text(row, name)))
    return MappedRow(row.line, tuple(values), row.label.fraud if row.label else None)


def _cell(value: Any) -> str:
    return "" if value is None else shown(value)


def _text(row: Accepted, name: str) -> str | None:
    value = orjson.loads(row.value).get(name)
    return None if value is None else str(value)

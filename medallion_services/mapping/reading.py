"""Files as Arrow batches of text, with the line of every row; what cannot be a row is refused with its line.

CSV and JSON Lines are read here rather than by an engine that guesses: every cell stays the text that was
written, an empty cell is missing, and a damaged line stops nothing.
"""

import csv
import gzip
import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medallion_services.errors import UserError
from medallion_services.mapping.model import Format, SourcePart
from medallion_services.mapping.refusal import Refusal

LINE = "_line"
BATCH_ROWS = 8_192
_SAMPLE = 1_000
_REPLACED = "\ufffd"
_SUFFIXES = {".csv": Format.CSV, ".parquet": Format.PARQUET, ".jsonl": Format.JSONL, ".ndjson": Format.JSONL}
_KEPT = 200

Refuse = Callable[[Refusal], None]


def file_format(path: Path, part: SourcePart) -> Format:
    """How a file is written: what the mapping says, else by its name.

    Raises:
        UserError: neither tells.
    """
    found = part.format or _format_of(path)
    if found is None:
        raise UserError(
            f"{path.name}: the name does not tell the format; write `source: {{format: csv}}` in the mapping"
        )
    return found


def has_known_name(path: Path) -> bool:
    """Whether a file's name tells a format that can be read."""
    return _format_of(path) is not None


def _format_of(path: Path) -> Format | None:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    return _SUFFIXES.get(suffixes[-1]) if suffixes else None


def columns(path: Path, part: SourcePart) -> list[str]:
    """Names of the file's columns, in order; of JSON Lines those of the first rows and of `source.columns`.

    Raises:
        UserError: the file cannot be read, or its names are not usable.
    """
    try:
        match file_format(path, part):
            case Format.PARQUET:
                names = list(pq.ParquetFile(path).schema_arrow.names)
            case Format.CSV if part.header:
                with _text(path, part) as file:
                    names = next(_csv(file, part), [])
            case Format.CSV:
                names = part.columns
            case Format.JSONL:
                with _text(path, part) as file:
                    rows = [_object(line) for line in itertools.islice(file, _SAMPLE)]
                names = list(dict.fromkeys(itertools.chain(*(row or () for row in rows), part.columns)))
    except (OSError, EOFError, UnicodeError, csv.Error, pa.ArrowInvalid) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        what = f"column {', '.join(twice)} occurs twice" if twice else "no columns: is it empty, or without a header?"
        raise UserError(f"{path.name}: {what}")
    return names


def batches(path: Path, part: SourcePart, names: list[str], refuse: Refuse) -> Iterator[pa.RecordBatch]:
    """The rows as batches of `LINE` and `names`; texts, or the types of a Parquet file.

    Lines count from 1 and include the header; of a Parquet file they are row numbers.
    """
    if file_format(path, part) is Format.PARQUET:
        yield from _parquet(path, names)
        return
    with _text(path, part) as file:
        rows = _csv_rows(file, part, names, refuse) if file_format(path, part) is Format.CSV else None
        if rows is None:
            rows = _json_rows(file, names, refuse)
        schema = batch_schema(path, part, names)
        while block := list(itertools.islice(rows, BATCH_ROWS)):
            cells = zip(zip(*block, strict=True), schema.types, strict=True)
            arrays = [pa.array(column, kind) for column, kind in cells]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def batch_schema(path: Path, part: SourcePart, names: list[str]) -> pa.Schema:
    """Schema of what `batches` yields."""
    if file_format(path, part) is Format.PARQUET:
        stored = pq.ParquetFile(path).schema_arrow
        return pa.schema([pa.field(LINE, pa.int64()), *(stored.field(name) for name in names)])
    return pa.schema([pa.field(LINE, pa.int64()), *(pa.field(name, pa.string()) for name in names)])


def _parquet(path: Path, names: list[str]) -> Iterator[pa.RecordBatch]:
    row = 1
    for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS, columns=names):
        lines = pa.array(range(row, row + batch.num_rows), pa.int64())
        yield pa.RecordBatch.from_arrays(
            [lines, *(batch.column(name) for name in names)],
            schema=pa.schema([pa.field(LINE, pa.int64()), *(batch.schema.field(name) for name in names)]),
        )
        row += batch.num_rows


def _text(path: Path, part: SourcePart) -> io.TextIOWrapper:
    with path.open("rb") as start:
        zipped = start.read(2) == b"\x1f\x8b"
    raw: Any = gzip.open(path, "rb") if zipped else path.open("rb")  # noqa: SIM115 - closed by the wrapper
    encoding = "utf-8-sig" if part.encoding == "utf-8" else part.encoding
    return io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline="")


def _csv(file: Iterable[str], part: SourcePart) -> Any:
    return csv.reader(file, delimiter=part.delimiter, quotechar=part.quote, strict=True)


def _csv_rows(file: Iterable[str], part: SourcePart, names: list[str], refuse: Refuse) -> Iterator[tuple[Any, ...]]:
    reader = _csv(file, part)
    if part.header:
        next(reader, None)
    width = len(names)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            refuse(Refusal(line, "DAMAGED_ROW", "", str(error)))
            continue
        if row is None:
            return
        if len(row) != width:
            if row:
                refuse(Refusal(line, "WRONG_COLUMN_COUNT", "", f"{len(row)} cells, expected {width}"))
            continue
        if any(_REPLACED in cell for cell in row):
            refuse(Refusal(line, "DAMAGED_TEXT", "", f"bytes that are not {part.encoding}"))
            continue
        yield (line, *(cell or None for cell in row))


def _object(line: str) -> dict[str, Any] | None:
    """The JSON object of a line, numbers as they were written; None when it is none."""
    try:
        value = json.loads(line, parse_float=str, parse_int=str)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _json_rows(file: Iterable[str], names: list[str], refuse: Refuse) -> Iterator[tuple[Any, ...]]:
    for line, text in enumerate(file, 1):
        if not text.strip():
            continue
        row = _object(text)
        if _REPLACED in text or row is None:
            code = "DAMAGED_TEXT" if row is not None else "DAMAGED_ROW"
            refuse(Refusal(line, code, "", text.strip()[:_KEPT]))
            continue
        yield (line, *(_cell(row.get(name)) for name in names))


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)

"""A file and its mapping, opened together: the front door of this package."""

import hashlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from fraud_domain.cards import TokenKey
from medallion_services.errors import UserError
from medallion_services.mapping import query
from medallion_services.mapping.judging import Accepted, Judge
from medallion_services.mapping.loading import Mapping
from medallion_services.mapping.reading import Refuse, batch_schema, batches, columns

_CHUNK = 1 << 20


@dataclass(slots=True)
class Tally:
    """Rows read so far: those that a mapping saw, and all."""

    read: int = 0
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A data file whose mapping fits it; `file_id` is the hash of its content."""

    path: Path
    mapping: Mapping
    names: list[str]
    file_id: str
    connection: duckdb.DuckDBPyConnection
    tally: Tally = field(default_factory=Tally)

    def mapped(self, refuse: Refuse, first: int | None = None) -> Generator[pa.RecordBatch, None, None]:
        """Rows as texts by contract field; only about the `first` ones when asked."""
        part = self.mapping.file.source

        def damaged(refusal: object) -> None:
            self.tally.read += 1
            self.tally.damaged += 1
            refuse(refusal)  # type: ignore[arg-type]

        def counted() -> Iterator[pa.RecordBatch]:
            for batch in batches(self.path, part, self.names, damaged):
                self.tally.read += batch.num_rows
                yield batch if first is None else batch.slice(0, first)
                if first is not None:
                    return

        schema = batch_schema(self.path, part, self.names)
        yield from query.mapped(self.connection, self.mapping, schema, counted())

    def judge(self, token_key: Callable[[], TokenKey]) -> Judge:
        """Who judges its rows."""
        return Judge(self.file_id, self.mapping.file.labels, token_key)

    def accepted(
        self, token_key: Callable[[], TokenKey], refuse: Refuse, first: int | None = None
    ) -> Iterator[Accepted]:
        """Rows that meet the contract, in the file's order; the others go to `refuse`."""
        with closing(self.mapped(refuse, first)) as mapped:
            yield from self.judge(token_key).rows(mapped, refuse)


@contextmanager
def open_file(path: Path, mapping: Mapping) -> Iterator[OpenFile]:
    """Open a data file under a mapping.

    Raises:
        UserError: the file cannot be read, or the mapping does not fit its columns.
    """
    if not path.is_file():
        raise UserError(f"{path} is not there")
    part = mapping.file.source
    names = columns(path, part)
    with query.mapping_connection(mapping.file.timezone, mapping.file.amounts) as connection:
        found = query.field_expressions(mapping)
        query.check_expressions(connection, mapping, found, batch_schema(path, part, names))
        yield OpenFile(path, mapping, names, content_hash(path), connection)


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()

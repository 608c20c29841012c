"""A load of history: files of transactions as JSON Lines, brought into the lake beside the streams.

A load has a name made of its files, so the same files are the same load. It is cut into chunks of files; every write
of a chunk carries `txnAppId` = history:<table>:<load> and `txnVersion` = chunk, so a load that was killed anywhere is
run again from the start and writes only what is missing.

Rows are written with `dataChange=false`: they are not news to the streams, which read the same tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraud_domain.micro_batch import Batch
from fraud_domain.tables import TableSpec
from fraud_domain.topics import HISTORY_PREFIX
from spark_jobs.lake import append_no_news, written_version

_CHUNK_BYTES = 512 * 1024 * 1024
SPLIT_BYTES = 128 * 1024 * 1024
SUFFIXES = (".jsonl", ".json", ".ndjson", ".jsonl.gz", ".json.gz")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some files of a load. `first` is the number of the first one; versions count from 1."""

    version: int
    first: int
    files: tuple[Path, ...]

    @property
    def numbers(self) -> range:
        """Numbers of its files: the Kafka partition of their rows."""
        return range(self.first, self.first + len(self.files))


@dataclass(frozen=True, slots=True)
class Load:
    """A load by name, and its chunks."""

    name: str
    chunks: tuple[Chunk, ...]

    @property
    def topic(self) -> str:
        """What its rows have in the column `topic`."""
        return f"{HISTORY_PREFIX}{self.name}"

    @property
    def files(self) -> tuple[Path, ...]:
        """All files, in order."""
        return tuple(file for chunk in self.chunks for file in chunk.files)

    def batch(self, version: int) -> Batch:
        """Identity of a chunk's writes."""
        return Batch("history", self.name, version)

    def of(self, frame: DataFrame, chunk: Chunk | None = None) -> DataFrame:
        """The rows of this load in a table that keeps positions, of one chunk if given."""
        mine = frame.where(F.col("topic") == self.topic)
        if chunk is None:
            return mine
        return mine.where((F.col("partition") >= chunk.first) & (F.col("partition") < chunk.first + len(chunk.files)))


def source_files(source: Path) -> tuple[Path, ...]:
    """The JSON Lines files of a directory, or the one file, by name.

    Raises:
        FileNotFoundError: there is none.
    """
    found = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.name.endswith(SUFFIXES))
    if not found:
        raise FileNotFoundError(f"no JSON Lines files ({', '.join(SUFFIXES)}) in {source}")
    return tuple(path.resolve() for path in found)


def plan(name: str, files: Sequence[Path], chunk_bytes: int = _CHUNK_BYTES) -> Load:
    """Cut files into chunks of about `chunk_bytes`; a file is never cut."""
    chunks: list[Chunk] = []
    taken: list[Path] = []
    first = size = 0
    for number, file in enumerate(files):
        if taken and size + file.stat().st_size > chunk_bytes:
            chunks.append(Chunk(len(chunks) + 1, first, tuple(taken)))
            taken, first, size = [], number, 0
        taken.append(file)
        size += file.stat().st_size
    if taken:
        chunks.append(Chunk(len(chunks) + 1, first, tuple(taken)))
    return Load(name, tuple(chunks))


def append_history(frame: DataFrame, lake_root: str, spec: TableSpec, load: Load, version: int) -> None:
    """Append rows of a load in table order; a chunk that is in the table already is skipped by Delta."""
    append_no_news(frame, lake_root, spec, load.batch(version))


def is_written(spark: SparkSession, lake_root: str, spec: TableSpec, load: Load, version: int) -> bool:
    """Whether a chunk is in a table, by Delta's own record of it."""
    last = written_version(spark, lake_root, spec, load.batch(version).app_id(spec.full_name))
    return last is not None and last >= version

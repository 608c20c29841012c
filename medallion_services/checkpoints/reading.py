"""A checkpoint directory as values: every log entry and state file with its condition; or the direct lane's one file.

Spark writes beside each file `x` a `.x.crc` with CRC-32 sums of 512 bytes each (Hadoop's ChecksumFileSystem), so
damage inside a file is found without knowing its format.
"""

import json
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from fraud_domain.streams import DIRECT_STATE

_CHUNK = 512
_CRC_HEADER = struct.Struct(">4si")
_CRC_MAGIC = b"crc\x00"


class Condition(StrEnum):
    """The condition of a file."""

    GOOD = "good"
    MISSING = "missing"
    EMPTY = "empty"
    SUM_DIFFERS = "its checksum differs"
    UNREADABLE = "not readable as what it should be"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file; `content` is what a good log entry holds, line by line as JSON."""

    path: Path
    condition: Condition
    content: tuple[Any, ...] = ()

    @property
    def good(self) -> bool:
        """Whether Spark can use it."""
        return self.condition is Condition.GOOD


@dataclass(frozen=True, slots=True)
class Store:
    """One state store: an operator's partition. Version `v` is a snapshot and the changelogs after it."""

    path: Path
    snapshots: dict[int, Condition]
    changelogs: dict[int, Condition]

    def broken_link(self, version: int) -> str:
        """The first file that is missing or damaged on the way to a version; nothing when it can be loaded."""
        for base in sorted((v for v in self.snapshots if v <= version), reverse=True):
            if self.snapshots[base] is Condition.GOOD:
                return self._first_bad(base + 1, version)
        return self._first_bad(1, version)

    def _first_bad(self, first: int, last: int) -> str:
        for version in range(first, last + 1):
            condition = self.changelogs.get(version, Condition.MISSING)
            if condition is not Condition.GOOD:
                return f"{self.path}/{version}.changelog is {condition.value}"
        return ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All of one query's checkpoint."""

    path: Path
    exists: bool
    metadata: Entry
    offsets: dict[int, Entry] = field(default_factory=dict)
    commits: dict[int, Entry] = field(default_factory=dict)
    stores: tuple[Store, ...] = ()
    operator_files: tuple[Entry, ...] = ()
    direct: Entry | None = None
    """The file of the direct lane, which has all in it; its content is the generation and the last batch."""

    @property
    def generation(self) -> str | None:
        """The query id, when it is readable."""
        if self.direct is not None:
            return str(self.direct.content[0]) if self.direct.good else None
        return str(self.metadata.content[0]["id"]) if self.metadata.good else None

    @property
    def newest_batch(self) -> int:
        """The last batch that was begun, in the direct lane kept; -1 when there is none."""
        if self.direct is not None:
            return int(self.direct.content[1]) if self.direct.good else -1
        return max(self.offsets, default=-1)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read everything that Spark would need to go on; changes nothing."""
    found = path.is_dir() and any(not p.name.startswith(".") for p in path.iterdir())
    if (path / DIRECT_STATE).is_file():
        file = _direct(path / DIRECT_STATE)
        return Checkpoint(path, found, file, direct=file)
    metadata = _log_entry(path / "metadata", versioned=False)
    if metadata.good and not (isinstance(metadata.content[0], dict) and metadata.content[0].get("id")):
        metadata = Entry(metadata.path, Condition.UNREADABLE)
    state = path / "state"
    return Checkpoint(
        path,
        found,
        metadata,
        {number: _log_entry(file) for number, file in _numbered(path / "offsets")},
        {number: _log_entry(file) for number, file in _numbered(path / "commits")},
        tuple(_store(folder) for folder in _store_folders(state)),
        tuple(_plain(file) for file in _described(state)),
    )


def condition_of(path: Path) -> Condition:
    """Whether a file is there, has content, and is what was written."""
    if not path.is_file():
        return Condition.MISSING
    content = path.read_bytes()
    if not content:
        return Condition.EMPTY
    sums = path.with_name(f".{path.name}.crc")
    return Condition.GOOD if not sums.is_file() or _sums_hold(content, sums.read_bytes()) else Condition.SUM_DIFFERS


def _sums_hold(content: bytes, sums: bytes) -> bool:
    if len(sums) < _CRC_HEADER.size:
        return False
    magic, chunk = _CRC_HEADER.unpack_from(sums)
    if magic != _CRC_MAGIC or chunk <= 0:
        return False
    wanted = [value for (value,) in struct.iter_unpack(">I", sums[_CRC_HEADER.size :])]
    return wanted == [zlib.crc32(content[at : at + chunk]) for at in range(0, len(content), chunk)]


def _log_entry(path: Path, versioned: bool = True) -> Entry:
    condition = condition_of(path)
    if condition is not Condition.GOOD:
        return Entry(path, condition)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        if versioned and not (lines and lines[0].startswith("v")):
            return Entry(path, Condition.UNREADABLE)
        body = [line for line in lines[1 if versioned else 0 :] if line.strip()]
        content = tuple(json.loads(line) for line in body)
    except ValueError:
        return Entry(path, Condition.UNREADABLE)
    return Entry(path, Condition.GOOD if content else Condition.UNREADABLE, content)


def _direct(path: Path) -> Entry:
    """The lane's file, looked at as SQLite does, which reads what is in its log as well; changes nothing."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            ((sound,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
            (lane,) = connection.execute("SELECT generation, batch_id FROM lane").fetchall()
    except (sqlite3.Error, ValueError):
        return Entry(path, Condition.UNREADABLE)
    return Entry(path, Condition.GOOD, lane) if sound == "ok" else Entry(path, Condition.UNREADABLE)


def _plain(path: Path) -> Entry:
    return Entry(path, condition_of(path))


def _numbered(folder: Path, suffix: str = "") -> Iterator[tuple[int, Path]]:
    for file in folder.iterdir() if folder.is_dir() else ():
        if file.suffix == suffix and file.name.removesuffix(suffix).isdigit():
            yield int(file.name.removesuffix(suffix)), file


def _store_folders(state: Path) -> Iterator[Path]:
    """`state/<operator>/<partition>`, and `.../<store name>` where an operator has several."""
    for folder in sorted(state.glob("[0-9]*/[0-9]*")):
        named = [child for child in folder.iterdir() if child.is_dir() and any(child.glob("*.changelog"))]
        yield from named or [folder]


def _store(folder: Path) -> Store:
    changelogs = {version: condition_of(file) for version, file in _numbered(folder, ".changelog")}
    snapshots = {version: _snapshot(file) for version, file in _numbered(folder, ".zip")}
    return Store(folder, snapshots, changelogs)


def _snapshot(path: Path) -> Condition:
    """A snapshot is good when its archive is, and every file of the database that it names."""
    condition = condition_of(path)
    if condition is not Condition.GOOD:
        return condition
    try:
        with zipfile.ZipFile(path) as archive:
            listed = json.loads(archive.read("metadata").split(b"\n", 1)[1])
    except (zipfile.BadZipFile, KeyError, IndexError, ValueError):
        return Condition.UNREADABLE
    tables = [path.parent / "SSTs" / file["dfsSstFileName"] for file in listed.get("sstFiles", [])]
    return next((c for c in map(condition_of, tables) if c is not Condition.GOOD), Condition.GOOD)


def _described(state: Path) -> Iterator[Path]:
    """Files that describe operators and their schemas."""
    for pattern in ("*/_metadata/**/*", "*/_stateSchema/**/*", "*/[0-9]*/**/_metadata/*"):
        yield from sorted(p for p in state.glob(pattern) if p.is_file() and not p.name.startswith("."))

"""Files of other people as JSON Lines of the contract, for a load of history: by the same mappings as a replay."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fraud_domain.cards import TokenKey
from fraud_domain.settings import Settings
from medallion_services.errors import UserError
from medallion_services.history_name import load_name
from medallion_services.mapping.loading import Mapping
from medallion_services.mapping.opening import OpenFile, open_file
from medallion_services.mapping.reading import has_known_name
from medallion_services.mapping.refusal import RejectedFile


@dataclass(frozen=True, slots=True)
class Mapped:
    """What became of the files. `folder` has one of JSON Lines for each, and is named as the load."""

    folder: Path
    accepted: int
    reasons: dict[str, int]
    rejected: Path


def contract_files(
    settings: Settings, source: Path, mapping: Mapping, token_key: Callable[[], TokenKey], rejected: Path | None = None
) -> Mapped:
    """Write the transactions of a file, or of a directory's files, as the contract has them; labels are left out.

    The same files under the same mapping give the same bytes and the same name, so that a load which was cut off goes
    on where it stopped.

    Raises:
        UserError: a file or the mapping is wrong, or there is no file of a known format.
    """
    files = _files(source)
    unfinished = settings.data_dir / "history" / f"{source.name}.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    where = rejected or unfinished.with_name(f"{source.name}.rejected.jsonl")
    accepted = 0
    with RejectedFile(where) as refused:
        for number, path in enumerate(files):
            with open_file(path, mapping) as file:
                accepted += _write(file, unfinished / f"{number:04d}.jsonl", token_key, refused)
        reasons = dict(sorted(refused.counts.items()))
    folder = unfinished.with_name(load_name(unfinished))
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return Mapped(folder, accepted, reasons, where)


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    found = sorted(path for path in source.rglob("*") if path.is_file() and has_known_name(path))
    if not found:
        raise UserError(f"no file of a known format in {source}: CSV, Parquet or JSON Lines, also with gzip")
    return found


def _write(file: OpenFile, target: Path, token_key: Callable[[], TokenKey], refused: RejectedFile) -> int:
    """Rows of one file in its order; returns how many."""
    count = 0
    with target.open("wb") as lines:
        for row in file.accepted(token_key, refused.add):
            lines.write(row.value + b"\n")
            count += 1
    # Bronze takes what claims to be younger than its file for a mistake, so the file is as old as the one it is of.
    modified = file.path.stat().st_mtime
    os.utime(target, (modified, modified))
    return count

"""How far a replay has come: one small file per data file and mapping, written after Kafka's acknowledgement."""

import hashlib
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import orjson

from fraud_domain.settings import Settings


@dataclass(frozen=True, slots=True)
class Progress:
    """`sent` messages of `total`, in the replay's fixed order, are acknowledged.

    `as_of` and `shift_us` (epoch microseconds, microseconds) are those of the first start: they decide which
    messages there are and what they say, so a resumed replay must use the same.
    """

    file: str
    mapping: str
    as_of: int
    shift_us: int
    limit: int | None
    total: int = 0
    sent: int = 0

    @property
    def complete(self) -> bool:
        """Whether everything was acknowledged."""
        return 0 < self.total <= self.sent

    def at(self, sent: int, total: int) -> "Progress":
        """The same replay, further on."""
        return replace(self, sent=sent, total=total)


def progress_path(settings: Settings, file_id: str, mapping_digest: str) -> Path:
    """Where the progress of a file under a mapping is kept."""
    key = hashlib.sha256(f"{file_id}:{mapping_digest}".encode()).hexdigest()[:16]
    return settings.data_dir / "replay" / f"{key}.progress.json"


def read_progress(path: Path) -> Progress | None:
    """The progress kept at `path`; None when there is none, or the file is no progress of this version."""
    try:
        return Progress(**orjson.loads(path.read_bytes()))
    except (FileNotFoundError, orjson.JSONDecodeError, TypeError):
        return None


def write_progress(path: Path, progress: Progress) -> None:
    """Keep the progress: complete or unchanged, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(orjson.dumps(asdict(progress)))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)

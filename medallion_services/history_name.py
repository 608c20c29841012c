"""The name of a load: made of its files, so that the same files are the same load."""

import hashlib
from pathlib import Path

_HEAD = 1 << 20
_LENGTH = 12


def load_name(source: Path) -> str:
    """Hash over names, sizes and first megabytes of the files of a directory, or of the one file."""
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for file in files:
        name = file.name if source.is_file() else str(file.relative_to(source))
        with file.open("rb") as content:
            digest.update(f"{name}\x1f{file.stat().st_size}\x1f".encode() + content.read(_HEAD))
    return digest.hexdigest()[:_LENGTH]

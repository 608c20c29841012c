"""A file of JSON Lines that may be left out: without a path, what is written goes nowhere."""

from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import orjson


class OptionalJsonLines:
    """Opened by `with`, its directory made; one line for each `write`."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def write(self, line: dict[str, Any]) -> None:
        """Add a line."""
        if self._file:
            self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

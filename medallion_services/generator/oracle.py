"""The oracle file: one JSON line per emission, with the truth that the platform never sees."""

from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import orjson

from medallion_services.generator.timeline import Emission


class OracleFile:
    """Writes the truth of what was sent, in sending order."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def note(self, emission: Emission) -> None:
        """Add a line: topic, kind, transaction_id, scenario, fraud, send_at."""
        if self._file:
            truth = emission.truth
            line = {
                "topic": emission.topic,
                "kind": truth.kind,
                "transaction_id": truth.transaction_id,
                "scenario": truth.scenario,
                "fraud": truth.fraud,
                "send_at": emission.send_at,
            }
            self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

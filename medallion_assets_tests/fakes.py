"""Stand-ins for the outside world of the control plane, for tests without servers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import psycopg
from psycopg.rows import DictRow

from medallion_assets.defs.streams.decide import Beat, Desired
from medallion_assets.platform import Platform

WANTED = Desired(True, 1, "", datetime(2026, 1, 1, tzinfo=UTC))


class FakeDatabase:
    """Answers the two questions of `control.py` from memory."""

    def __init__(self, desired: Desired, beats: tuple[Beat, ...]) -> None:
        self._desired, self._beats = desired, beats
        self._rows: list[dict[str, Any]] = []

    def execute(self, query: str, parameters: tuple[Any, ...]) -> "FakeDatabase":
        if "FROM fraud.stream_wanted" in query:
            d = self._desired
            state = "running" if d.running else "stopped"
            self._rows = [
                {
                    "desired": state,
                    "generation": d.generation,
                    "reason": d.reason,
                    "updated_at": d.changed_at,
                    "resume_at": d.resume_at,
                }
            ]
        elif "FROM fraud.stream_heartbeat" in query:
            (streams,) = parameters
            self._rows = [
                {
                    "stream": b.stream,
                    "run_id": b.run_id,
                    "state": b.state,
                    "beat_at": b.at,
                    "host": b.host,
                    "driver_pid": b.pid,
                }
                for b in self._beats
                if b.stream in streams
            ]
        return self

    def fetchone(self) -> dict[str, Any] | None:
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[dict[str, Any]]:
        return self._rows


@dataclass(frozen=True, slots=True)
class FakePlatform(Platform):
    """A platform whose database holds what a test says."""

    desired: Desired = WANTED
    beats: tuple[Beat, ...] = ()

    @contextmanager
    def database(self, role: str = "fraud_reader") -> Iterator[psycopg.Connection[DictRow]]:
        yield cast(psycopg.Connection[DictRow], FakeDatabase(self.desired, self.beats))

"""What a supervisor has to say, whoever listens: a terminal, a log, a test."""

from pathlib import Path
from typing import Protocol


class Reporter(Protocol):
    """Where the supervisor says what happens."""

    def starting(self, name: str) -> None:
        """A component is being started."""

    def ready(self, name: str, seconds: float) -> None:
        """It answers."""

    def died(self, name: str, code: int | None, delay: float, log: Path) -> None:
        """It ended by itself and is started again after `delay` seconds."""

    def stopping(self, name: str) -> None:
        """It is being stopped."""

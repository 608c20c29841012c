"""How a replay talks: a bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_EVERY_SECONDS = 10.0


class ReplayConsole:
    """The reporter of a replay."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True, stderr=True)
        self._live = self._console.is_terminal
        self._bar = Progress(
            TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=self._console,
            disable=not self._live,
        )  # fmt: skip
        self._task: TaskID | None = None
        self._done = self._total = 0
        self._said = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(escape(text))

    def total(self, messages: int, done: int) -> None:
        """So many messages there are, so many were sent before."""
        self._total, self._done = messages, done
        self._task = self._bar.add_task("sending", total=messages, completed=done)

    def advance(self) -> None:
        """One more was handed to Kafka."""
        self._done += 1
        if self._live and self._task is not None:
            self._bar.update(self._task, completed=self._done)
        elif not self._live and time.monotonic() - self._said > _EVERY_SECONDS:
            self._said = time.monotonic()
            self.say(f"{self._done:,} of {self._total:,} messages")

"""How `up` talks: a progress bar for downloads, one line for each thing that happens."""

from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn

from medallion_services.embedded.java import Java

LABELS = {
    "postgres": "PostgreSQL",
    "kafka": "Kafka",
    "dagster-code": "Dagster code server",
    "dagster-webserver": "Dagster webserver",
    "dagster-daemon": "Dagster daemon",
    "dashboard": "Dashboard",
    "notifier": "Notifier",
    "generator": "Transaction generator",
}


def label(name: str) -> str:
    """A component's name for people."""
    return LABELS.get(name, name)


class ConsoleProgress:
    """The reporter of a terminal or a log file; as a context manager it shows live bars."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._download: TaskID | None = None
        self._starting: dict[str, TaskID] = {}

    def __enter__(self) -> "ConsoleProgress":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.settle()

    def settle(self) -> None:
        """End the live display; lines are still printed."""
        self._bars.stop()

    def say(self, text: str) -> None:
        """Print one line of markup above the bars."""
        self.console.print(text)

    def leftovers(self, count: int) -> None:
        """Processes of an owner that was killed have been ended."""
        self.say(f"[yellow]![/] ended {count} processes that an earlier run had left behind")

    def java(self, java: Java) -> None:
        """The runtime that was chosen."""
        self.say(f"[green]✓[/] {escape(java.reason)} ({escape(str(java.home))})")

    def downloading(self, count: int) -> None:
        """So many jars are about to come."""
        self.say(f"  downloading {count} jars (once; they are kept and verified)")
        self._download = self._bars.add_task("jars", total=count)

    def downloaded(self, name: str) -> None:
        """One of them came."""
        if self._download is not None:
            self._bars.update(self._download, advance=1, description=f"jars: {escape(name)}")

    def starting(self, name: str) -> None:
        """A component is being started."""
        self._starting[name] = self._bars.add_task(f"starting {label(name)}", total=1)

    def ready(self, name: str, seconds: float) -> None:
        """It answers."""
        if (task := self._starting.pop(name, None)) is not None:
            self._bars.remove_task(task)
        self.say(f"[green]✓[/] {label(name)} [dim]ready in {seconds:.1f} s[/]")

    def died(self, name: str, code: int | None, delay: float, log: Path) -> None:
        """It ended by itself and is started again after `delay` seconds."""
        how = "does not start" if code is None else f"ended ({describe_exit(code)})"
        self.say(f"[red]✗[/] {label(name)} {how}; starting it again in {delay:.1f} s. Log: {escape(str(log))}")

    def stopping(self, name: str) -> None:
        """It is being stopped."""
        self.say(f"  stopping {label(name)}")


def describe_exit(code: int) -> str:
    """An exit code in words: the code itself, or the signal that killed the process."""
    import signal

    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"

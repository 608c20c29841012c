"""`medallion streams`: stop, start and restart, without the guards fighting back."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from fraud_domain.settings import Settings

streams_app = typer.Typer(no_args_is_help=True, help="Stop, start and restart the streams.")
Name = Annotated[str, typer.Argument(help="A stream, an application, or all.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; shown on every tick of the guard.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(streams_app, name="streams")


def _want(name: str, reason: str, running: bool, done: str, until: datetime | None = None) -> None:
    from medallion_services.stream_control import want

    names = want(Settings(), name, running=running, reason=reason, until=until)
    typer.echo(f"{', '.join(names)}: {done}; the guard acts at its next tick, within 10 s")


@streams_app.command()
def stop(
    name: Name = "all",
    reason: Reason = "stopped by hand",
    window: Annotated[
        str, typer.Option("--for", help="Start again by themselves after this, such as '30 minutes'.")
    ] = "",
) -> None:
    """Stop streams and keep them stopped, or for the time of a maintenance.

    Example: `medallion streams stop lake --for "2 hours" --reason "new disk"`
    """
    from fraud_domain.intervals import interval_micros

    try:
        until = datetime.now(UTC) + timedelta(microseconds=interval_micros(window)) if window else None
    except ValueError as error:
        raise typer.BadParameter(
            f"'{window}' is no time such as '30 minutes' or '2 hours'", param_hint="--for"
        ) from error
    done = f"wanted stopped until {until:%Y-%m-%d %H:%M %Z}" if until else "wanted stopped"
    _want(name, reason, False, done, until)


@streams_app.command()
def start(name: Name = "all", reason: Reason = "started by hand") -> None:
    """Let stopped streams run again."""
    _want(name, reason, True, "wanted running")


@streams_app.command()
def restart(name: Name = "all", reason: Reason = "restarted by hand") -> None:
    """Restart running streams, such as after a change of rules; also closes an open circuit."""
    _want(name, reason, True, "restart asked for")

"""`medallion streams`: stop, start and restart, without the guards fighting back."""

from typing import Annotated

import typer

from fraud_domain.settings import Settings

streams_app = typer.Typer(no_args_is_help=True, help="Stop, start and restart the streams.")
Name = Annotated[str, typer.Argument(help="A stream, an application, or all.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; shown on every tick of the guard.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(streams_app, name="streams")


def _want(name: str, reason: str, running: bool, done: str) -> None:
    from medallion_services.stream_control import want

    names = want(Settings(), name, running=running, reason=reason)
    typer.echo(f"{', '.join(names)}: {done}; the guard acts at its next tick, within 15 s")


@streams_app.command()
def stop(name: Name = "all", reason: Reason = "stopped by hand") -> None:
    """Stop streams and keep them stopped, such as for maintenance."""
    _want(name, reason, False, "wanted stopped")


@streams_app.command()
def start(name: Name = "all", reason: Reason = "started by hand") -> None:
    """Let stopped streams run again."""
    _want(name, reason, True, "wanted running")


@streams_app.command()
def restart(name: Name = "all", reason: Reason = "restarted by hand") -> None:
    """Restart running streams, such as after a change of rules; also closes an open circuit."""
    _want(name, reason, True, "restart asked for")

"""`medallion up` and `medallion down`: the whole stack, in the foreground or detached."""

import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from fraud_domain.settings import Settings

_DETACHED_START_TIMEOUT = 600.0


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(down)


def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return when everything runs; stop it with `down`.")] = False,
    generator: Annotated[
        bool | None, typer.Option("--generator/--no-generator", help="Send demo traffic (default: the setting).")
    ] = None,
) -> None:
    """Start everything and keep it running until Ctrl-C."""
    settings = Settings()
    if generator is not None:
        changed = settings.generator.model_copy(update={"enabled": generator})
        settings = settings.model_copy(update={"generator": changed})
    if detach:
        _detach(settings)
    else:
        _foreground(settings)


def _foreground(settings: Settings) -> None:
    from medallion_services.cli.console import ConsoleProgress
    from medallion_services.cli.first_alert import announce_first_alert
    from medallion_services.embedded import up as stack
    from medallion_services.embedded.supervisor import Supervisor

    started = datetime.now(UTC)
    with ConsoleProgress() as progress:

        def on_running(supervisor: Supervisor) -> None:
            progress.settle()
            for line in _welcome(settings):
                progress.say(line)
            announce_first_alert(settings, started, progress.say, supervisor.stop_event)

        stack.run(settings, progress, on_running=on_running)
        progress.say("stopped")


def _dashboard(settings: Settings) -> str:
    return f"http://{settings.dashboard.host}:{settings.dashboard.port}"


def _welcome(settings: Settings) -> tuple[str, ...]:
    return (
        "",
        *((f"[bold]dashboard[/] {_dashboard(settings)}",) if settings.dashboard.enabled else ()),
        f"[bold]Dagster[/]   http://{settings.dagster.host}:{settings.dagster.port}",
        f"[bold]logs[/]      {settings.log_dir}",
        "[bold]health[/]    medallion status        [bold]stop[/]  Ctrl-C, or `medallion down`",
        "waiting for the first fraud alert; Dagster's sensors are starting the streams",
        "",
    )


def _detach(settings: Settings) -> None:
    from medallion_services.embedded.environment import stack_environment
    from medallion_services.embedded.owner import read_state
    from medallion_services.embedded.processes import log_tail, spawn
    from medallion_services.embedded.up import make_directories
    from medallion_services.errors import UserError

    if (state := read_state(settings)) is not None:
        raise UserError(f"the stack in {settings.data_dir} already runs (process {state.pid}); see `medallion status`")
    log = settings.log_dir / "owner.log"
    make_directories(settings)
    owner: subprocess.Popen[bytes] = spawn(
        (sys.executable, "-m", "medallion_services", "up"),
        environment=stack_environment(settings),
        log=log,
        cwd=settings.data_dir,
    )
    typer.echo(f"starting; what it says is in {log}")
    deadline = time.monotonic() + _DETACHED_START_TIMEOUT
    while time.monotonic() < deadline:
        if owner.poll() is not None:
            raise UserError(f"the stack did not start. {log} ends with:\n{log_tail(log)}")
        state = read_state(settings)
        if state is not None and state.pid == owner.pid and state.phase == "running":
            typer.echo(f"running: http://{settings.dagster.host}:{settings.dagster.port} (stop: medallion down)")
            return
        time.sleep(0.3)
    raise UserError(f"the stack is still not running; it goes on trying. See {log}, or stop it with `medallion down`.")


def down() -> None:
    """Stop the running stack and whatever a killed one left behind."""
    from medallion_services.embedded.up import end

    settings = Settings()
    stopped, left = end(settings, on_wait=lambda owner: typer.echo(f"stopping process {owner.pid} and its components"))
    if left:
        typer.echo(f"ended {left} processes that had no owner any more")
    typer.echo("stopped" if stopped or left else "nothing was running")

"""`medallion dashboard`: the live dashboard and the analysts' desk alone; `medallion up` starts it too."""

import typer

from fraud_domain.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(dashboard)


def dashboard() -> None:
    """Serve the dashboard and its API until Ctrl-C."""
    from medallion_services.dashboard.server import run

    run(Settings())

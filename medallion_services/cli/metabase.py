"""`medallion metabase`: put the dashboards that are kept as code into a Metabase."""

from pathlib import Path
from typing import Annotated

import typer

from fraud_domain.settings import Settings

metabase_app = typer.Typer(no_args_is_help=True, help="Dashboards as code for Metabase.")
Directory = Annotated[Path | None, typer.Option("--directory", "-d", help="Other files than the project's.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(metabase_app, name="metabase")


@metabase_app.command()
def check(
    directory: Directory = None,
    database: Annotated[bool, typer.Option(help="Run each card's SQL, as the reader.")] = False,
) -> None:
    """Validate the files; with --database also run every card on the configured PostgreSQL."""
    from medallion_services.metabase.loading import DIRECTORY, load

    dashboards = load(directory or DIRECTORY)
    if database:
        from medallion_services.metabase.trying import try_cards

        try_cards(Settings(), dashboards)
    cards = sum(len(each.cards) for each in dashboards)
    typer.echo(f"{len(dashboards)} dashboards with {cards} cards are right" + (" and run" if database else ""))


@metabase_app.command()
def provision(
    directory: Directory = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for Metabase's start.")] = 300,
    renew_password: Annotated[bool, typer.Option(help="Send the reader's password again.")] = False,
) -> None:
    """Create or update user, database, cards and dashboards; safe to repeat, deletes nothing."""
    from medallion_services.embedded.secrets import write_once
    from medallion_services.metabase import provision as provisioning
    from medallion_services.metabase.loading import DIRECTORY, load

    settings = Settings()
    dashboards = load(directory or DIRECTORY)
    secret = settings.secrets_dir / provisioning.SECRET
    if write_once(secret):
        typer.echo(f"password of {settings.metabase.email} made: {secret}")
    done = provisioning.provision(settings, dashboards, wait_seconds=wait, renew_password=renew_password)
    for verb, names in (("created", done.created), ("updated", done.updated)):
        for name in names:
            typer.echo(f"{verb} {name}")
    typer.echo(f"{len(done.created)} created, {len(done.updated)} updated, {done.unchanged} unchanged")
    for name in done.orphans:
        typer.echo(f"left alone, in no file any more: {name}")
    for title, address in done.addresses.items():
        typer.echo(f"{title}: {address}")

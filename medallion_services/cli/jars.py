"""`medallion jars`: bring the locked jars, or lock them anew."""

import typer

from fraud_domain.settings import Settings

jars_app = typer.Typer(no_args_is_help=True, help="The Java libraries of Spark and Kafka.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(jars_app, name="jars")


@jars_app.command()
def fetch() -> None:
    """Download the locked jars into the cache and verify each one; needs no network when they are there."""
    from medallion_services.cli.console import ConsoleProgress
    from medallion_services.embedded import jars
    from medallion_services.embedded.java import find_java

    settings = Settings()
    with ConsoleProgress() as progress:
        java = find_java(settings)
        progress.java(java)
        directory = jars.fetch(settings, java, on_total=progress.downloading, on_file=progress.downloaded)
    count = len(list(directory.glob("*.jar")))
    typer.echo(f"{count} jars in {directory}, each as locked")


@jars_app.command()
def lock() -> None:
    """Resolve the versions in `embedded/jars.py` and write jars.lock.json (for maintainers)."""
    from medallion_services.embedded import jars
    from medallion_services.embedded.java import find_java

    settings = Settings()
    resolved = jars.resolve_lock(find_java(settings), settings.cache_dir / "ivy", settings.ivy_settings)
    jars.write_lock(resolved)
    for name, members in sorted(resolved.items()):
        size = sum(jar.size for jar in members) / 1e6
        typer.echo(f"{name}: {len(members)} jars, {size:.0f} MB")
    typer.echo(f"written to {jars.LOCK_FILE}")

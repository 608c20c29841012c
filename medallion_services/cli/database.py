"""`medallion database` and `medallion topics`: bring servers that run elsewhere to what the platform needs.

`medallion up` does the same by itself; these are for containers and for operators.
"""

import typer

from fraud_domain.settings import Settings

database_app = typer.Typer(no_args_is_help=True, help="The PostgreSQL database.")
topics_app = typer.Typer(no_args_is_help=True, help="The Kafka topics.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(database_app, name="database")
    app.add_typer(topics_app, name="topics")


# A group with one command would lose that command's name.
@database_app.callback()
def _database() -> None:
    """The PostgreSQL database."""


@topics_app.callback()
def _topics() -> None:
    """The Kafka topics."""


@database_app.command("prepare")
def prepare_database() -> None:
    """Make missing passwords, roles and databases, and migrate to the newest schema; safe to repeat."""
    import psycopg

    from medallion_services.database import prepare
    from medallion_services.embedded.secrets import ensure_secrets
    from medallion_services.errors import UserError

    settings = Settings()
    made = ensure_secrets(settings)
    server = f"{settings.postgres_host}:{settings.postgres.port}"
    try:
        prepare(settings)
    except psycopg.OperationalError as error:
        raise UserError(f"PostgreSQL at {server}: {str(error).splitlines()[0]}") from error
    typer.echo(f"{len(made)} secrets made in {settings.secrets_dir}; {server} has the current schema")


@topics_app.command("create")
def create() -> None:
    """Create the missing topics and bring the others to the settings; safe to repeat."""
    from medallion_services.embedded.kafka_topics import create_topics

    settings = Settings()
    made = create_topics(settings)
    typer.echo(f"created: {', '.join(made) or 'none'}; topics at {settings.kafka_bootstrap} are as the settings say")

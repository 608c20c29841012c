"""`medallion notify`: send notifications, try a channel, look at what was not delivered, say who is told."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud_domain.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

notify_app = typer.Typer(no_args_is_help=True, help="Notifications: send, test, repair.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    from medallion_services.cli.notify_routes import routes_app

    notify_app.add_typer(routes_app, name="routes")
    app.add_typer(notify_app, name="notify")


@contextmanager
def database(settings: Settings, role: str) -> "Iterator[psycopg.Connection[dict[str, Any]]]":
    """A connection as one role, committed on success.

    Raises:
        UserError: the server cannot be reached.
    """
    import psycopg
    from psycopg.rows import dict_row

    from medallion_services.errors import UserError

    try:
        connection = psycopg.connect(**settings.postgres_parameters(role), row_factory=dict_row, connect_timeout=5)
    except psycopg.OperationalError as error:
        raise UserError(f"the database cannot be reached ({str(error).splitlines()[0]}); is the stack up?") from error
    with connection:
        yield connection


@notify_app.command("run")
def run() -> None:
    """Send what is in the outbox until Ctrl-C; `medallion up` does this too, and several may run."""
    from medallion_services.notifier.worker import run as work

    work(Settings())


@notify_app.command("test")
def send_test(
    channel: Annotated[str, typer.Argument(help="email, webhook, ntfy, push, apprise.")],
    recipient: Annotated[str, typer.Argument(help="The recipient's name.")],
    language: Annotated[str, typer.Option("--language", help="en or pt.")] = "en",
) -> None:
    """Send a test message now and say what came of it; needs no route and no alert."""
    import secrets

    from medallion_services.errors import UserError
    from medallion_services.notifier import messages, webpush
    from medallion_services.notifier.backoff import DeliveryError, RefusedError
    from medallion_services.notifier.channels import open_channels
    from medallion_services.notifier.worker import dashboard_address, open_pool

    if language not in ("en", "pt"):
        raise UserError(f"'{language}' is no language; en or pt")
    settings = Settings()
    webpush.ensure_vapid_key(settings)
    message = messages.trial_message(f"test-{secrets.token_hex(6)}", language, dashboard_address(settings))
    with open_pool(settings, 1) as pool:
        channels = open_channels(settings, pool)
        if channel not in channels:
            raise UserError(f"there is no channel '{channel}'; one of {', '.join(channels)}")
        try:
            channels[channel](message, recipient)
        except (DeliveryError, RefusedError) as error:
            raise UserError(f"{channel}:{recipient} was not reached: {error}") from error
    typer.echo(f"delivered to {channel}:{recipient} with key {message.key}")


_LIST = """
SELECT o.outbox_id, o.channel, o.recipient, o.status, o.attempts, o.created_at, o.next_attempt_at, o.last_error,
    coalesce('alert ' || o.alert_id, 'operations ' || p.key) AS about
FROM fraud.outbox o LEFT JOIN fraud.ops_alerts p USING (ops_id)
WHERE o.status = ANY (%s) ORDER BY o.outbox_id DESC LIMIT %s
"""


@notify_app.command("list")
def list_rows(
    dead: Annotated[bool, typer.Option("--dead", help="Only what was given up.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=1000, help="How many, newest first.")] = 20,
) -> None:
    """Show messages that were not delivered yet, and why."""
    with database(Settings(), "fraud_notifier") as connection:
        rows = connection.execute(_LIST, (["dead"] if dead else ["pending", "dead"], lines)).fetchall()
        counts = connection.execute("SELECT status, count(*) AS n FROM fraud.outbox GROUP BY 1 ORDER BY 1").fetchall()
    for row in rows:
        why = f": {row['last_error']}" if row["last_error"] else ""
        when = "" if row["status"] == "dead" else f", next {row['next_attempt_at']:%Y-%m-%d %H:%M:%S%z}"
        to = f"{row['channel']}:{row['recipient']}"
        typer.echo(
            f"{row['outbox_id']} {to} {row['status']}, {row['attempts']} attempts{when}, about {row['about']}{why}"
        )
    typer.echo(", ".join(f"{count['n']} {count['status']}" for count in counts) or "the outbox is empty")


_RETRY = """
UPDATE fraud.outbox SET status = 'pending', attempts = 0, next_attempt_at = clock_timestamp(), lease_until = NULL
WHERE status = 'dead' AND (%(all)s OR coalesce(digest_of, outbox_id) = (
    SELECT coalesce(digest_of, outbox_id) FROM fraud.outbox WHERE outbox_id = %(id)s))
"""


@notify_app.command("retry")
def retry(
    outbox_id: Annotated[int | None, typer.Argument(metavar="ID", help="A dead message's number.")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Every dead message.")] = False,
) -> None:
    """Send dead messages again, with the keys they had; a digest is sent as a whole."""
    from medallion_services.errors import UserError

    if (outbox_id is None) != dead:
        raise UserError("name one message, or say --dead for all: medallion notify retry 42")
    with database(Settings(), "fraud_notifier") as connection:
        changed = connection.execute(_RETRY, {"all": dead, "id": outbox_id}).rowcount
        connection.execute("SELECT pg_notify('fraud_alerts', '0')")
    if not changed and outbox_id is not None:
        raise UserError(f"message {outbox_id} is not dead; see `medallion notify list --dead`")
    typer.echo(f"{changed} messages will be sent again")


@notify_app.command("watch")
def watch_once() -> None:
    """Look once whether streams are silent or messages are stuck, raise alerts, exit with 1 if so; for cron."""
    from medallion_services.notifier import watch

    with database(Settings(), "fraud_notifier") as connection:
        findings = watch.look(connection, Settings())
    for found in findings:
        typer.echo(f"{found.severity}: {found.title}. {found.body} Runbook: docs/runbook/{found.page}.md")
    if findings:
        raise typer.Exit(1)
    typer.echo("streams beat, messages go out")

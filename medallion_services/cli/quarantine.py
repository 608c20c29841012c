"""`medallion quarantine`: messages that broke the contract; look, mend, send again."""

import json
from typing import Annotated

import typer

from fraud_domain.settings import Settings

quarantine_app = typer.Typer(no_args_is_help=True, help="Messages that broke the contract: list, show, replay.")
Reason = Annotated[str, typer.Option(help="A reason code, such as BAD_AMOUNT.")]
Positions = Annotated[list[str] | None, typer.Argument(metavar="TOPIC/PARTITION/OFFSET...")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
_MOST = 10_000


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(quarantine_app, name="quarantine")


@quarantine_app.command("list")
def list_messages(reason: Reason = "", limit: int = 20, as_json: AsJson = False) -> None:
    """How many messages there are for each reason, and the newest ones with their positions."""
    from medallion_services.quarantine.reading import messages, reasons

    settings = Settings()
    counts, found = reasons(settings), messages(settings, reason, limit=limit)
    if as_json:
        document = {
            "reasons": [dict(zip(("topic", "reason", "messages", "newest"), each, strict=True)) for each in counts],
            "messages": [
                {"position": str(m.position), "reason": m.reason, "attempts": m.attempts, "at": m.ingested_at}
                for m in found
            ],
        }
        typer.echo(json.dumps(document, indent=2, default=str))
        return
    for topic, code, number, newest in counts:
        typer.echo(f"{number:>8}  {code}  ({topic}, newest {newest:%Y-%m-%d %H:%M:%S %Z})")
    for message in found:
        again = f", sent again {message.attempts} times" if message.attempts else ""
        _, field, detail = message.errors[0]
        typer.echo(f"{message.position}  {message.reason} {field} {detail or ''}{again}")
    if not counts:
        typer.echo("quarantine is empty")


@quarantine_app.command()
def show(position: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET")]) -> None:
    """One message: every reason, and the payload as bronze keeps it."""
    from medallion_services.quarantine.reading import messages, parse_position

    (message,) = messages(Settings(), positions=(parse_position(position),))
    typer.echo(f"{message.position}, Kafka timestamp {message.kafka_timestamp.isoformat()}")
    for code, field, detail in message.errors:
        typer.echo(f"  {code} {field}: {detail or ''}")
    typer.echo((message.value or b"").decode("utf-8", "backslashreplace"))


@quarantine_app.command()
def replay(
    positions: Positions = None,
    reason: Reason = "",
    change: Annotated[list[str] | None, typer.Option("--set", help="FIELD=VALUE; nothing after = removes it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
) -> None:
    """Send messages again that meet the contract now, after a fix of the contract or with fields set.

    Each keeps its Kafka timestamp, carries the position it replaces, and its attempts are counted. Example:
    `medallion quarantine replay --reason UNKNOWN_VALUE --set type=PIX --dry-run`
    """
    import getpass

    from fraud_domain.intervals import interval_micros
    from medallion_services.errors import UserError
    from medallion_services.quarantine.mending import mend
    from medallion_services.quarantine.reading import messages, parse_position
    from medallion_services.quarantine.replay import replay as send

    if not positions and not reason:
        raise UserError("name positions, or a --reason; `medallion quarantine list` shows both")
    changes = dict(_assignment(text) for text in change or [])
    settings = Settings()
    wanted = tuple(parse_position(text) for text in positions or [])
    tolerance = interval_micros(settings.streams.future_tolerance)
    judged = [(m, mend(m, changes, tolerance)) for m in messages(settings, reason, wanted, limit=_MOST)]
    for message, mended in judged:
        if mended.refused:
            typer.echo(f"{message.position}: not sent, {mended.refused}")
        elif dry_run:
            typer.echo(f"{message.position}: would be sent as attempt {message.attempts + 1}")
    good = [(message, mended) for message, mended in judged if not mended.refused]
    if dry_run:
        return
    for before, after in send(settings, good, changes, getpass.getuser()).items():
        typer.echo(f"{before}: sent again, now {after}")
    typer.echo(f"{len(good)} of {len(judged)} messages sent again")
    if len(good) < len(judged):
        raise typer.Exit(1)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"'{text}' is not FIELD=VALUE", param_hint="--set")
    return name, value

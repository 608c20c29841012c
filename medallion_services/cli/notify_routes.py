"""`medallion notify routes`: who is told of what. Addresses are not here, but in the secret file `notifications`."""

from typing import Annotated

import typer

from fraud_domain.settings import Settings

routes_app = typer.Typer(no_args_is_help=True, help="Who is told of what.")


def _duration(text: str | None, option: str) -> float | None:
    from fraud_domain.rules.durations import SECOND, parse_duration
    from medallion_services.errors import UserError

    if text is None:
        return None
    try:
        return parse_duration(text) / SECOND
    except ValueError as error:
        raise UserError(f"{option}: {error}") from error


def _pair(text: str | None, separator: str, option: str, example: str) -> tuple[str | None, str | None]:
    from medallion_services.errors import UserError

    if text is None:
        return None, None
    first, _, second = text.partition(separator)
    if not first or not second:
        raise UserError(f"{option} '{text}' is not like {example}")
    return first, second


_COLUMNS = (
    "channel, recipient, min_score, min_level, typologies, min_amount, language, time_zone, quiet_from, quiet_until,"
    " quiet_except, cooldown, digest_above, escalate_after, escalate_channel, escalate_recipient, operations"
)
_VALUES = (
    "%(channel)s, %(recipient)s, %(min_score)s, %(min_level)s, %(typologies)s, %(min_amount)s, %(language)s,"
    " %(time_zone)s, %(quiet_from)s, %(quiet_until)s, %(quiet_except)s, %(cooldown)s * interval '1 second',"
    " %(digest_above)s, %(escalate_after)s * interval '1 second', %(escalate_channel)s, %(escalate_recipient)s,"
    " %(operations)s"
)


@routes_app.command("add")
def add(
    channel: Annotated[str, typer.Argument(help="desk, email, webhook, ntfy, push, apprise.")],
    recipient: Annotated[str, typer.Argument(help="A name of the secret file, or an e-mail address.")],
    min_score: Annotated[float, typer.Option("--min-score", min=0, max=100)] = 0.0,
    level: Annotated[str | None, typer.Option("--level", help="From this level: low, medium, high, critical.")] = None,
    typology: Annotated[list[str] | None, typer.Option("--typology", help="Only this; may be repeated.")] = None,
    min_amount: Annotated[str | None, typer.Option("--min-amount", help="In the transaction's currency.")] = None,
    language: Annotated[str, typer.Option("--language", help="en or pt.")] = "en",
    time_zone: Annotated[str, typer.Option("--time-zone", help="Such as America/Sao_Paulo.")] = "UTC",
    quiet: Annotated[str | None, typer.Option("--quiet", help="Hours to hold messages: 22:00-07:00.")] = None,
    quiet_except: Annotated[str, typer.Option("--quiet-except", help="From this level, tell anyway.")] = "critical",
    cooldown: Annotated[
        str | None, typer.Option("--cooldown", help="Tell once per subject and typology in so long.")
    ] = None,
    digest_above: Annotated[
        int | None, typer.Option("--digest-above", min=0, help="More in a minute come as one message.")
    ] = None,
    escalate_after: Annotated[str | None, typer.Option("--escalate-after", help="When nobody takes it: 15m.")] = None,
    escalate_to: Annotated[str | None, typer.Option("--escalate-to", help="CHANNEL:RECIPIENT.")] = None,
    operations: Annotated[bool, typer.Option("--operations", help="Also tell of trouble with the platform.")] = False,
    only_operations: Annotated[bool, typer.Option("--only-operations", help="Tell of nothing else.")] = False,
) -> None:
    """Add a route or replace it; it counts from the next alert on."""
    from decimal import Decimal, InvalidOperation
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    import psycopg

    from medallion_services.cli.notify import database
    from medallion_services.errors import UserError
    from medallion_services.notifier.channels import CHANNELS

    if channel not in CHANNELS:
        raise UserError(f"there is no channel '{channel}'; one of {', '.join(CHANNELS)}")
    if "://" in recipient:
        raise UserError("a recipient is a name; put the URL into the secret file `notifications`, under that name")
    try:
        ZoneInfo(time_zone)
        amount = Decimal(min_amount) if min_amount else None
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise UserError(f"'{time_zone}' is no time zone, such as America/Sao_Paulo") from error
    except InvalidOperation as error:
        raise UserError(f"'{min_amount}' is no amount, such as 500.00") from error
    quiet_from, quiet_until = _pair(quiet, "-", "--quiet", "22:00-07:00")
    to_channel, to_recipient = _pair(escalate_to, ":", "--escalate-to", "ntfy:oncall")
    if (escalate_after is None) != (escalate_to is None):
        raise UserError("--escalate-after and --escalate-to belong together")
    if to_channel is not None and to_channel not in CHANNELS:
        raise UserError(f"--escalate-to: there is no channel '{to_channel}'; one of {', '.join(CHANNELS)}")
    values = {
        "channel": channel,
        "recipient": recipient,
        # No score is above it: the stream writes no row.
        "min_score": float("inf") if only_operations else min_score,
        "min_level": level,
        "typologies": typology or [],
        "min_amount": amount,
        "language": language,
        "time_zone": time_zone,
        "quiet_from": quiet_from,
        "quiet_until": quiet_until,
        "quiet_except": quiet_except,
        "cooldown": _duration(cooldown, "--cooldown") or 0,
        "digest_above": digest_above,
        "escalate_after": _duration(escalate_after, "--escalate-after"),
        "escalate_channel": to_channel,
        "escalate_recipient": to_recipient,
        "operations": operations or only_operations,
    }
    try:
        with database(Settings(), "fraud_owner") as connection:
            connection.execute(
                "DELETE FROM fraud.notification_route WHERE channel = %s AND recipient = %s", (channel, recipient)
            )
            statement = f"INSERT INTO fraud.notification_route ({_COLUMNS}) VALUES ({_VALUES})"  # noqa: S608 - constants
            connection.execute(statement.encode(), values)
    except (psycopg.errors.CheckViolation, psycopg.DataError) as error:
        raise UserError(f"the route was not added: {str(error).splitlines()[0]}") from error
    typer.echo(f"{channel}:{recipient} is told; try it with `medallion notify test {channel} {recipient}`")


@routes_app.command("list")
def list_routes() -> None:
    """Show who is told of what."""
    from medallion_services.cli.notify import database

    with database(Settings(), "fraud_notifier") as connection:
        rows = connection.execute("SELECT * FROM fraud.notification_route ORDER BY channel, recipient").fetchall()
    for row in rows:
        parts = [f"score from {row['min_score']:g}" if row["min_score"] <= 100 else "no fraud alerts"]
        parts += [f"level from {row['min_level']}"] if row["min_level"] else []
        parts += [f"only {', '.join(row['typologies'])}"] if row["typologies"] else []
        parts += [f"amount from {row['min_amount']:f}"] if row["min_amount"] is not None else []
        if row["quiet_from"] is not None:
            quiet = f"quiet {row['quiet_from']:%H:%M}-{row['quiet_until']:%H:%M} {row['time_zone']}"
            parts.append(f"{quiet} below {row['quiet_except']}")
        parts += [f"cooldown {row['cooldown']}"] if row["cooldown"] else []
        parts += [f"digest above {row['digest_above']} a minute"] if row["digest_above"] is not None else []
        if row["escalate_after"] is not None:
            to = f"{row['escalate_channel']}:{row['escalate_recipient']}"
            parts.append(f"after {row['escalate_after']} untaken to {to}")
        parts += ["operations"] if row["operations"] else []
        parts += [] if row["enabled"] else ["disabled"]
        typer.echo(f"{row['channel']}:{row['recipient']} ({row['language']}): {'; '.join(parts)}")
    if not rows:
        typer.echo("nobody is told; medallion notify routes add email fraud-team")


@routes_app.command("remove")
def remove(
    channel: Annotated[str, typer.Argument(help="The route's channel.")],
    recipient: Annotated[str, typer.Argument(help="The route's recipient.")],
) -> None:
    """Remove a route; what is queued for it is skipped."""
    from medallion_services.cli.notify import database
    from medallion_services.errors import UserError

    with database(Settings(), "fraud_owner") as connection:
        gone = connection.execute(
            "DELETE FROM fraud.notification_route WHERE channel = %s AND recipient = %s", (channel, recipient)
        ).rowcount
    if not gone:
        raise UserError(f"there is no route {channel}:{recipient}; see `medallion notify routes list`")
    typer.echo(f"{channel}:{recipient} is not told any more")

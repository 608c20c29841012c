"""`medallion alerts`: the queue for those who live in a terminal, by the desk's role and with its audit trail."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from fraud_domain.settings import Settings

if TYPE_CHECKING:
    from medallion_services.dashboard.database import Database

alerts_app = typer.Typer(no_args_is_help=True, help="Look at fraud alerts and work on them.")
T = TypeVar("T")
Identity = Annotated[str, typer.Argument(help="An alert's id, or the beginning of one that is open.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs: one JSON object a line.")]
_PREFIX_AT_LEAST = 6


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(alerts_app, name="alerts")


@asynccontextmanager
async def _opened() -> AsyncIterator["Database"]:
    from psycopg_pool import PoolTimeout

    from medallion_services.dashboard.database import Database
    from medallion_services.errors import UserError

    settings = Settings()
    database = Database(settings, connections=1)
    try:
        try:
            await database.pool.open(wait=True, timeout=5)
        except PoolTimeout as error:
            where = f"{settings.postgres_host}:{settings.postgres.port}"
            raise UserError(f"PostgreSQL at {where} does not answer as fraud_desk; is the stack up?") from error
        yield database
    finally:
        await database.pool.close()


def _run(action: Callable[["Database"], Awaitable[T]]) -> T:
    from medallion_services.dashboard.problems import Problem
    from medallion_services.errors import UserError

    async def inside() -> T:
        async with _opened() as database:
            return await action(database)

    try:
        return asyncio.run(inside())
    except Problem as problem:
        raise UserError(problem.detail) from problem


def _print(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    if as_json:
        for row in rows:
            typer.echo(json.dumps(dict(row), default=str))
        return
    from medallion_services.cli.alert_tables import queue_table

    queue_table(rows)


async def _resolve(database: "Database", identity: str) -> str:
    """The whole id of what was typed.

    Raises:
        Problem: nothing, or more than one open alert, begins so.
    """
    from medallion_services.dashboard.problems import Problem

    rows = await database.rows("SELECT alert_id FROM fraud.alerts WHERE alert_id = %s", (identity,))
    if not rows and len(identity) >= _PREFIX_AT_LEAST:
        rows = await database.rows(
            "SELECT alert_id FROM fraud.alerts WHERE alert_id >= %s AND alert_id < %s ORDER BY alert_id LIMIT 2",
            (identity, identity + "\U0010ffff"),
        )
    if len(rows) != 1:
        raise Problem(404, f"{'no' if not rows else 'more than one'} alert is called '{identity}'")
    return str(rows[0]["alert_id"])


@alerts_app.command()
def tail(
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=200, help="How many to begin with.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as alerts come, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the newest open alerts."""
    from medallion_services.cli.alert_follow import follow_alerts
    from medallion_services.dashboard import queue

    async def action(database: "Database") -> None:
        wanted = queue.Wanted(queue.View.OPEN, queue.Sort.NEWEST, limit=lines)
        rows = list((await queue.page(database, wanted, "")).rows)[::-1]
        _print(rows, as_json)
        if follow:
            await follow_alerts(database, rows, lambda fresh: _print(fresh, as_json))

    try:
        _run(action)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@alerts_app.command()
def show(identity: Identity, as_json: AsJson = False) -> None:
    """Show one alert with its reasons and history."""
    from medallion_services.dashboard import alert_view

    async def action(database: "Database") -> alert_view.AlertView:
        return await alert_view.load(database, await _resolve(database, identity))

    view = _run(action)
    if as_json:
        typer.echo(json.dumps(alert_view.document(view), default=str))
        return
    from medallion_services.cli.alert_tables import alert_sheet

    alert_sheet(view)


@alerts_app.command()
def ack(identity: Identity, as_json: AsJson = False) -> None:
    """Take an alert: it is assigned to you and goes into review."""
    import getpass

    from medallion_services.dashboard import work

    async def action(database: "Database") -> Mapping[str, Any]:
        alert = await work.current(database, await _resolve(database, identity))
        return await work.assign(database, getpass.getuser(), alert["alert_id"], alert["version"], getpass.getuser())

    _print([_run(action)], as_json)


@alerts_app.command()
def close(
    identity: Identity,
    disposition: Annotated[
        str,
        typer.Option("--as", help="confirmed_fraud, false_positive, verified, duplicate or inconclusive."),
    ],
    note: Annotated[str, typer.Option("--note", "-m", help="Kept in the history.")] = "",
    as_json: AsJson = False,
) -> None:
    """Close an alert with a finding; it becomes a label for the rules."""
    import getpass

    from medallion_services.dashboard import work
    from medallion_services.dashboard.states import Disposition, State
    from medallion_services.errors import UserError

    if disposition not in set(Disposition):
        raise UserError(f"'{disposition}' is no finding; one of {', '.join(Disposition)}")

    async def action(database: "Database") -> Mapping[str, Any]:
        alert = await work.current(database, await _resolve(database, identity))
        found = Disposition(disposition)
        return await work.transition(
            database, getpass.getuser(), alert["alert_id"], alert["version"], State.CLOSED, found, note
        )

    _print([_run(action)], as_json)

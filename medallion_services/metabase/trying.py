"""Run every card's SQL on PostgreSQL, as the role that Metabase connects as."""

from collections.abc import Sequence

import psycopg
from psycopg.rows import TupleRow

from fraud_domain.settings import Settings
from medallion_services.errors import UserError
from medallion_services.metabase.model import Card, Dashboard, Kind, statement
from medallion_services.metabase.provision import READER


def run(
    connection: psycopg.Connection[TupleRow], dashboard: Dashboard, card: Card, values: dict[str, int | str]
) -> tuple[tuple[str, ...], list[TupleRow]]:
    """Column names and rows of one card."""
    text, bound = statement(dashboard, card, values)
    cursor = connection.execute(text.encode(), bound)
    return tuple(each.name for each in cursor.description or ()), cursor.fetchall()


def try_cards(settings: Settings, dashboards: Sequence[Dashboard]) -> None:
    """Run all cards, once by their defaults and once with every parameter set.

    Raises:
        UserError: the database is away, a statement fails, or its columns are not those that the file says.
        fraud_domain.settings.MissingSecretError: the reader has no password yet.
    """
    parameters = settings.postgres_parameters(READER)
    where = f"PostgreSQL at {settings.postgres_host}:{settings.postgres.port}"
    try:
        connection = psycopg.connect(**parameters, autocommit=True)
    except psycopg.OperationalError as error:
        raise UserError(f"{where}: {str(error).splitlines()[0]}") from error
    with connection:
        for dashboard in dashboards:
            for values in ({}, all_set(dashboard)):
                for card in dashboard.cards:
                    name = f"{dashboard.key}.yaml: card '{card.key}'"
                    try:
                        columns, _ = run(connection, dashboard, card, values)
                    except psycopg.Error as error:
                        raise UserError(f"{name} fails on {where}: {error}") from error
                    if columns != card.shape:
                        raise UserError(f"{name} gives {', '.join(columns)}, and says {', '.join(card.shape)}")


def all_set(dashboard: Dashboard) -> dict[str, int | str]:
    """A value for every parameter."""
    found: dict[str, int | str] = {}
    for each in dashboard.parameters:
        anything: int | str = 1 if each.kind is Kind.NUMBER else next(iter(each.values), "x")
        found[each.key] = anything if each.default is None else each.default
    return found

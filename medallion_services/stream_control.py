"""What people want of the streams, written where the guards read it."""

import getpass
from datetime import datetime

import psycopg

from fraud_domain.settings import Settings
from fraud_domain.streams import applications_called
from medallion_services.errors import UserError


def want(
    settings: Settings, name: str, *, running: bool, reason: str, until: datetime | None = None
) -> tuple[str, ...]:
    """Record what is wanted; a stop ends by itself at `until`.

    Asking for running raises the generation, which restarts and closes an open circuit.

    Raises:
        UserError: nothing is called `name`, or the database cannot be reached.
    """
    try:
        names = applications_called(settings.streams.layout, name)
    except LookupError as error:
        raise UserError(str(error.args[0])) from error
    try:
        with psycopg.connect(**settings.postgres_parameters("fraud_writer"), connect_timeout=5) as connection:
            for application in names:
                connection.execute(
                    "SELECT fraud.want_stream(%s, %s, %s, %s, %s)",
                    (application, "running" if running else "stopped", reason, getpass.getuser(), until),
                )
    except psycopg.OperationalError as error:
        raise UserError(f"the database cannot be reached ({str(error).splitlines()[0]}); is the stack up?") from error
    return names

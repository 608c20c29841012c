"""What people want of the streams, written where the guards read it."""

import getpass

import psycopg

from fraud_domain.settings import Settings
from fraud_domain.streams import applications
from medallion_services.errors import UserError

ALL = "all"


def application_names(settings: Settings, wanted: str) -> tuple[str, ...]:
    """The applications meant by a name: itself, the one that runs a stream of that name, or `all`.

    Raises:
        UserError: nothing is called that.
    """
    known = applications(settings.streams.layout)
    found = tuple(a.name for a in known if wanted in (ALL, a.name) or wanted in a.stream_names)
    if not found:
        names = sorted({ALL, *(a.name for a in known), *(s for a in known for s in a.stream_names)})
        raise UserError(f"no stream or application '{wanted}'; known: {', '.join(names)}")
    return found


def want(settings: Settings, name: str, *, running: bool, reason: str) -> tuple[str, ...]:
    """Record what is wanted; asking for running raises the generation, which restarts and closes an open circuit.

    Raises:
        UserError: nothing is called `name`, or the database cannot be reached.
    """
    names = application_names(settings, name)
    try:
        with psycopg.connect(**settings.postgres_parameters("fraud_writer"), connect_timeout=5) as connection:
            for application in names:
                connection.execute(
                    "INSERT INTO fraud.stream_control AS c (application, desired, reason, updated_by)"
                    " VALUES (%s, %s, %s, %s) ON CONFLICT (application) DO UPDATE SET desired = EXCLUDED.desired,"
                    " reason = EXCLUDED.reason, updated_by = EXCLUDED.updated_by, updated_at = clock_timestamp(),"
                    " generation = c.generation + CASE WHEN EXCLUDED.desired = 'running' THEN 1 ELSE 0 END",
                    (application, "running" if running else "stopped", reason, getpass.getuser()),
                )
    except psycopg.OperationalError as error:
        raise UserError(f"the database cannot be reached ({str(error).splitlines()[0]}); is the stack up?") from error
    return names

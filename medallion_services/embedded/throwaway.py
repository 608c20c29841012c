"""Servers of one's own for tests and measurements: free ports, a new data directory, nothing left at the end."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fraud_domain.settings import Settings
from medallion_services.embedded import postgres
from medallion_services.embedded.component import Component
from medallion_services.embedded.environment import instance_id
from medallion_services.embedded.ports import free_ports
from medallion_services.embedded.processes import end_marked
from medallion_services.embedded.secrets import ensure_secrets
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.supervisor import Supervisor

_GRACE_SECONDS = 10


class Quiet:
    """A reporter that says nothing."""

    def starting(self, name: str) -> None:
        """A component is being started."""

    def ready(self, name: str, seconds: float) -> None:
        """It answers."""

    def died(self, name: str, code: int | None, delay: float, log: Path) -> None:
        """It ended by itself."""

    def stopping(self, name: str) -> None:
        """It is being stopped."""


def make_settings(data_dir: Path, **more: Any) -> Settings:
    """Settings on a directory of their own and on ports that are free; secrets exist.

    `more` as for `Settings`; of a group only what it names is changed, so that the ports stay.
    """
    broker, controller, database, webserver, code, spark_ui, dashboard = free_ports(7)
    groups: dict[str, dict[str, Any]] = {
        "kafka": {"port": broker, "controller_port": controller},
        "postgres": {"port": database},
        "dagster": {"port": webserver, "code_port": code},
        "spark": {"ui_port": spark_ui},
        "dashboard": {"port": dashboard},
        "generator": {"enabled": False},
    }
    own = {name: group | more.pop(name, {}) for name, group in groups.items()}
    settings = Settings.model_validate({"data_dir": data_dir} | own | more)
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    settings.log_dir.mkdir(exist_ok=True)
    ensure_secrets(settings)
    return settings


@contextmanager
def fresh_settings(**more: Any) -> Iterator[Settings]:
    """Settings on a new data directory; at the end its processes are ended and it is removed.

    The directory is open to other users: PostgreSQL runs as one of them when this process is root.
    """
    data_dir = Path(tempfile.mkdtemp(prefix="medallion-")).resolve()
    data_dir.chmod(0o711)
    settings = make_settings(data_dir, **more)
    try:
        yield settings
    finally:
        end_marked(instance_id(settings), grace=_GRACE_SECONDS)
        shutil.rmtree(data_dir, ignore_errors=True)


@contextmanager
def running(settings: Settings, *components: Component) -> Iterator[Supervisor]:
    """Components, started one after another, for the length of the block."""
    supervisor = Supervisor(tuple((component,) for component in components), settings.log_dir, Quiet())
    try:
        supervisor.start()
        yield supervisor
    finally:
        supervisor.stop()


@contextmanager
def own_database(**more: Any) -> Iterator[Settings]:
    """Settings as by `fresh_settings`, with a PostgreSQL that runs and has roles, tables and rules as in production."""
    with fresh_settings(**more) as settings, running(settings, postgres.component(settings)):
        prepare_database(settings)
        yield settings

"""Real servers for the integration tests: one PostgreSQL and one Kafka a session, on free ports and a temporary
data directory, stopped at the end whatever happened."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fraud_domain.settings import Settings
from medallion_services.embedded import jars, kafka, postgres
from medallion_services.embedded.component import Component
from medallion_services.embedded.environment import instance_id
from medallion_services.embedded.java import Java, find_java
from medallion_services.embedded.ports import free_ports
from medallion_services.embedded.processes import end_marked
from medallion_services.embedded.secrets import ensure_secrets
from medallion_services.embedded.spark_conf import write_spark_conf
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.supervisor import Supervisor


class Silent:
    """A reporter for tests."""

    def starting(self, name: str) -> None:
        """A component is being started."""

    def ready(self, name: str, seconds: float) -> None:
        """It answers."""

    def died(self, name: str, code: int | None, delay: float, log: Path) -> None:
        """It ended by itself."""

    def stopping(self, name: str) -> None:
        """It is being stopped."""


@contextmanager
def running(settings: Settings, component: Component) -> Iterator[Supervisor]:
    """One component, running for the length of the block."""
    supervisor = Supervisor(((component,),), settings.log_dir, Silent())
    try:
        supervisor.start()
        yield supervisor
    finally:
        supervisor.stop()


def make_settings(data_dir: Path) -> Settings:
    """Settings on a directory of their own and on ports that are free; secrets exist."""
    broker, controller, database, webserver, code, spark_ui = free_ports(6)
    settings = Settings.model_validate(
        {
            "data_dir": data_dir,
            "kafka": {"port": broker, "controller_port": controller},
            "postgres": {"port": database},
            "dagster": {"port": webserver, "code_port": code},
            "spark": {"ui_port": spark_ui},
            "generator": {"enabled": False},
        }
    )
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    settings.log_dir.mkdir(exist_ok=True)
    ensure_secrets(settings)
    return settings


@contextmanager
def fresh_settings() -> Iterator[Settings]:
    """Settings on a new data directory; at the end its processes are ended and it is removed.

    Not one of pytest's directories: those are closed to other users, as which PostgreSQL runs under root.
    """
    data_dir = Path(tempfile.mkdtemp(prefix="medallion-test-")).resolve()
    settings = make_settings(data_dir)
    try:
        yield settings
    finally:
        end_marked(instance_id(settings), grace=10)
        shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture(scope="session")
def settings() -> Iterator[Settings]:
    """Settings of the session's servers; nothing is running yet."""
    with fresh_settings() as made:
        yield made


@pytest.fixture
def other_settings() -> Iterator[Settings]:
    """Settings of a stack of a test's own."""
    with fresh_settings() as made:
        yield made


@pytest.fixture(scope="session")
def java(settings: Settings) -> Java:
    """The Java of this machine, with the locked jars in the cache and Spark's configuration written."""
    found = find_java(settings)
    jars.fetch(settings, found)
    write_spark_conf(settings)
    return found


@pytest.fixture(scope="session")
def postgres_server(settings: Settings) -> Iterator[Supervisor]:
    """The session's PostgreSQL, with roles, databases and tables as in production."""
    with running(settings, postgres.component(settings)) as supervisor:
        prepare_database(settings)
        yield supervisor


@pytest.fixture(scope="session")
def kafka_server(settings: Settings, java: Java) -> Iterator[Supervisor]:
    """The session's broker, with the project's topics."""
    with running(settings, kafka.component(settings, java)) as supervisor:
        yield supervisor


@pytest.fixture(scope="session", name="postgres")
def postgres_fixture(settings: Settings, postgres_server: Supervisor) -> Settings:
    """Settings whose PostgreSQL runs and is prepared: `psycopg.connect(**postgres.postgres_parameters(role))`."""
    return settings


@pytest.fixture(scope="session", name="kafka")
def kafka_fixture(settings: Settings, kafka_server: Supervisor) -> Settings:
    """Settings whose broker runs and has the topics: `kafka.kafka_bootstrap`."""
    return settings

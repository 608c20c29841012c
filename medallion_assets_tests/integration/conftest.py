"""Real servers for the integration tests: one PostgreSQL and one Kafka a session, on free ports and a temporary
data directory, stopped at the end whatever happened."""

from collections.abc import Iterator

import pytest

from fraud_domain.settings import Settings
from medallion_services.embedded import jars, kafka, postgres
from medallion_services.embedded.java import Java, find_java
from medallion_services.embedded.spark_conf import write_spark_conf
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.supervisor import Supervisor
from medallion_services.embedded.throwaway import fresh_settings, running


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

"""The doctor at real servers: clocks compared, a stream's lock seen, a damaged checkpoint named."""

import time

import psycopg
import pytest
from confluent_kafka import Producer

from fraud_domain.kafka_client import client_configuration
from fraud_domain.settings import Settings
from fraud_domain.streams import lock_name
from fraud_domain.topics import TRANSACTIONS, producer_configuration
from medallion_services.doctor.finding import Finding, Level
from medallion_services.doctor.servers import examine_servers
from medallion_services.embedded import kafka
from medallion_services.embedded.java import Java
from medallion_services.embedded.ports import free_ports
from medallion_services.embedded.throwaway import running

TOLERANCE = 300.0


def found(settings: Settings, subject: str, shift: float = 0.0) -> list[Finding]:
    """Findings about one subject, by a clock of this machine that is `shift` seconds off."""
    findings = examine_servers(settings, True, TOLERANCE, lambda: time.time() + shift)
    return [each for each in findings if each.subject == subject]


@pytest.fixture
def database_alone(postgres: Settings) -> Settings:
    """The session's database without the session's broker, whose messages tell of a clock as well."""
    (port,) = free_ports(1)
    nowhere = postgres.kafka.model_copy(update={"bootstrap_servers": "", "port": port})
    return postgres.model_copy(update={"kafka": nowhere})


def test_database_answers_and_its_clock_agrees(database_alone: Settings) -> None:
    assert [each.level for each in found(database_alone, "database")] == [Level.OK]
    assert [each.level for each in found(database_alone, "clock")] == [Level.OK]


def test_a_clock_that_is_off_is_noticed(database_alone: Settings) -> None:
    (slow,) = found(database_alone, "clock", shift=-30)
    assert slow.level is Level.WARNING
    assert "30.0 s ahead" in slow.what
    (fast,) = found(database_alone, "clock", shift=400)
    assert fast.level is Level.PROBLEM
    assert "400.0 s behind" in fast.what


def test_checkpoints_of_a_stream_that_runs_are_left_alone(postgres: Settings) -> None:
    (whole,) = found(postgres, "checkpoints")
    assert whole.level is Level.OK
    with psycopg.connect(**postgres.postgres_parameters("fraud_writer"), autocommit=True) as driver:
        driver.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (lock_name("silver"),))
        examined, left = found(postgres, "checkpoints")
    assert "not examined" in left.what
    assert left.what.endswith("silver")
    assert examined.what != whole.what


def test_a_damaged_checkpoint_is_found(other_settings: Settings, postgres: Settings) -> None:
    # The session's database with a data directory of this test's own.
    own = postgres.model_copy(update={"checkpoint_uri": str(other_settings.data_dir / "checkpoints")})
    offsets = other_settings.data_dir / "checkpoints" / "silver" / "labels" / "offsets"
    offsets.mkdir(parents=True)
    (offsets / "0").write_bytes(b"")
    (bad,) = (each for each in found(own, "checkpoints") if each.level is Level.PROBLEM)
    assert bad.what.startswith("silver.labels")


def test_a_database_that_should_answer_and_does_not_is_a_problem(other_settings: Settings) -> None:
    assert [each.level for each in found(other_settings, "database")] == [Level.PROBLEM]
    assert [each.level for each in found(other_settings, "kafka")] == [Level.PROBLEM]


def test_a_message_stamped_in_the_future_is_noticed(other_settings: Settings, java: Java) -> None:
    with running(other_settings, kafka.component(other_settings, java)):
        assert [each.level for each in found(other_settings, "kafka")] == [Level.OK]
        producer = Producer(producer_configuration(client_configuration(other_settings), {}))
        producer.produce(TRANSACTIONS, b"{}", timestamp=int((time.time() + 60) * 1000))
        assert producer.flush(30) == 0
        (ahead,) = found(other_settings, "clock")
    assert ahead.level is Level.WARNING
    assert "in the future" in ahead.what

"""A driver that is told to stop before its streams run has stopped; one that cannot start has failed."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
import pytest

from fraud_domain.settings import Settings
from medallion_services.embedded.throwaway import own_database
from spark_jobs.heartbeat import Heartbeat
from spark_jobs.lease import Lease
from spark_jobs.plain_error import PlainError
from spark_jobs.runtime import EXIT_FAILED, Launch, _Application

_LAST_WORD = "SELECT state, coalesce(detail ->> 'message', '') FROM fraud.stream_heartbeat WHERE stream = 'alerts'"
Raiser = Callable[[], None]


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    with own_database() as made:
        yield made


def ran(settings: Settings, stop: threading.Event, opening: Raiser, launching: Raiser) -> int:
    """The exit code of an application whose engine does this when it is opened, and that when it is to start."""

    @contextmanager
    def engine(_application: str) -> Iterator[Launch]:
        opening()

        def launch(_stream: str, _settings: Settings, _epoch: int) -> list[object]:
            launching()
            return []

        yield launch  # type: ignore[misc]

    database = settings.postgres_parameters("fraud_writer")
    with Lease(database, ("alerts",), "test") as lease:
        heartbeat = Heartbeat(database, "alerts", "", datetime.now(UTC))
        return _Application(settings, ("alerts",), engine, lease, heartbeat, stop).run()


def last_word(settings: Settings) -> tuple[str, str]:
    """State and detail of the stream's heartbeat."""
    with psycopg.connect(**settings.postgres_parameters("fraud_writer")) as connection:
        (row,) = connection.execute(_LAST_WORD)
    return str(row[0]), str(row[1])


def nothing() -> None:
    """All is well."""


@pytest.mark.parametrize("phase", ["opening", "launching"])
def test_what_a_signal_ended_is_no_failure(settings: Settings, phase: str) -> None:
    stop = threading.Event()

    def ended_by_the_signal() -> None:
        stop.set()
        raise ConnectionError("the gateway is gone")

    actions = {"opening": nothing, "launching": nothing} | {phase: ended_by_the_signal}
    assert ran(settings, stop, **actions) == 0
    assert last_word(settings) == ("stopped", "")


def test_what_fails_by_itself_is_a_failure(settings: Settings) -> None:
    def fails() -> None:
        raise ConnectionError("the gateway is gone")

    with pytest.raises(ConnectionError):
        ran(settings, threading.Event(), nothing, fails)
    assert last_word(settings) == ("failed", "ConnectionError: the gateway is gone")


def test_a_sentence_needs_no_stack_trace(settings: Settings) -> None:
    def cannot() -> None:
        raise PlainError("there is no rule set: publish one")

    assert ran(settings, threading.Event(), nothing, cannot) == EXIT_FAILED
    assert last_word(settings) == ("failed", "PlainError: there is no rule set: publish one")

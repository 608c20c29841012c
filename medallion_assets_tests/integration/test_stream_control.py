"""What is wanted of streams, said from the terminal or from Dagster, and a stop that ends by itself."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from typer.testing import CliRunner

from fraud_domain.settings import Settings
from medallion_assets.defs.streams.control import desired_state
from medallion_assets.defs.streams.control_job import control_streams
from medallion_assets.defs.streams.decide import Desired
from medallion_assets.platform import Platform
from medallion_services.cli import app
from medallion_services.embedded.throwaway import own_database
from medallion_services.errors import UserError
from medallion_services.stream_control import want


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    with own_database() as started:
        yield started


def wanted(settings: Settings, application: str) -> Desired:
    with Platform(settings).database("fraud_writer") as connection:
        return desired_state(connection, application)


def ask(settings: Settings, **config: object) -> dg.ExecuteInProcessResult:
    """Run the job as the launchpad would."""
    return control_streams.execute_in_process(
        run_config={"ops": {"say_what_is_wanted": {"config": config}}},
        resources={"platform": Platform(settings)},
        raise_on_error=False,
    )


def test_a_stop_ends_by_itself(settings: Settings) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    want(settings, "alerts", running=False, reason="new disk", until=soon)
    stopped = wanted(settings, "alerts")
    assert (stopped.running, stopped.reason, stopped.resume_at) == (False, "new disk", soon)
    want(settings, "alerts", running=False, reason="new disk", until=datetime.now(UTC) - timedelta(seconds=1))
    over = wanted(settings, "alerts")
    assert (over.running, over.resume_at, over.generation) == (True, None, stopped.generation)


def test_the_job_stops_starts_and_restarts(settings: Settings) -> None:
    before = wanted(settings, "lake")
    assert before.running
    assert ask(settings, action="STOP", application="silver", reason="from Dagster", minutes=30).success
    stopped = wanted(settings, "lake")
    assert not stopped.running
    assert stopped.resume_at is not None
    assert ask(settings, action="RESTART", application="all", reason="again").success
    assert wanted(settings, "lake").running
    assert wanted(settings, "lake").generation == before.generation + 1


def test_an_unknown_name_is_told_with_those_there_are(settings: Settings) -> None:
    with pytest.raises(UserError, match=r"no stream or application 'gould'; known: alerts, all, bronze"):
        want(settings, "gould", running=True, reason="")
    failed = ask(settings, action="START", application="gould", reason="")
    assert not failed.success
    (event,) = [e for e in failed.all_events if e.is_step_failure]
    assert "no stream or application 'gould'; known: alerts, all, bronze" in str(event.step_failure_data.error)


def test_a_time_that_is_none_is_refused() -> None:
    answer = CliRunner().invoke(app, ["streams", "stop", "all", "--for", "a while"])
    assert answer.exit_code == 2
    assert "is no time such as" in answer.output

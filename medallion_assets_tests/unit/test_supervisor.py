"""The supervisor run of a Spark application, with plain Python scripts in the driver's place."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import psycopg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from fraud_domain.settings import PROJECT_ROOT, AlertLane, Layout, Settings
from fraud_domain.streams import applications
from medallion_assets.defs.streams.decide import Beat
from medallion_assets.defs.streams.supervisor import (
    Patience,
    command,
    driver_process,
    environment,
    log_path,
    run_driver,
    stop,
    supervisor_job,
    tail,
)
from medallion_assets.platform import Platform
from medallion_assets_tests.fakes import FakePlatform
from spark_jobs.runtime import SUPERVISOR_VARIABLE, supervisor_alive

LAKE = next(a for a in applications(Layout.TWO) if a.name == "lake")
HASTY = Patience(poll=0.02, look=0.05, start=0.1, stop=0.4)
PATIENT = Patience(poll=0.02, stop=10)

SLEEPS = "import time; print('ready', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPS
POLITE = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: (print('queries stopped', flush=True), sys.exit(0)))\n" + SLEEPS
)
WITH_CHILD = (
    "import subprocess, sys, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    "print('child', child.pid, flush=True); time.sleep(60)"
)


def script(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def context() -> dg.OpExecutionContext:
    return dg.build_op_context()


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def interrupt_when(condition: Callable[[], object]) -> None:
    """What Dagster does to an op whose run is terminated."""
    wait_for(condition)
    raise DagsterExecutionInterruptedError


def started(code: str, log: Path) -> subprocess.Popen[bytes]:
    """A driver that is past its start, in a session of its own."""
    with log.open("wb") as output:
        process = subprocess.Popen(script(code), stdout=output, start_new_session=True)
    wait_for(lambda: log.read_bytes())
    return process


def test_driver_is_asked_first_and_ends_cleanly(tmp_path: Path) -> None:
    driver = started(POLITE, tmp_path / "log")
    stop(driver, grace=10)
    assert driver.returncode == 0
    assert "queries stopped" in tail(tmp_path / "log")


def test_driver_that_ignores_the_request_is_killed_with_its_children(tmp_path: Path) -> None:
    driver = started(WITH_CHILD, tmp_path / "log")
    child = psutil.Process(int((tmp_path / "log").read_text().split()[1]))
    stop(driver, grace=0.3)
    assert driver.returncode == -signal.SIGKILL
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_stopping_twice_is_harmless(tmp_path: Path) -> None:
    driver = started(SLEEPS, tmp_path / "log")
    stop(driver, grace=10)
    stop(driver, grace=10)
    assert driver.returncode == -signal.SIGTERM


@pytest.mark.parametrize("code", [POLITE, STUBBORN], ids=["polite", "stubborn"])
def test_terminated_run_leaves_no_driver(settings: Settings, context: dg.OpExecutionContext, code: str) -> None:
    log = log_path(settings, LAKE)
    with (
        pytest.raises(DagsterExecutionInterruptedError),
        driver_process(context, LAKE, script(code), log, HASTY) as driver,
    ):
        interrupt_when(lambda: log.read_bytes())
    assert driver.returncode in {0, -signal.SIGKILL}
    assert not psutil.pid_exists(driver.pid)


def test_driver_that_ends_as_asked_is_a_success(settings: Settings, context: dg.OpExecutionContext) -> None:
    run_driver(context, Platform(settings), LAKE, script("print('done')"), PATIENT)
    assert "done" in tail(log_path(settings, LAKE))


def test_failure_carries_the_last_words_of_the_log(settings: Settings, context: dg.OpExecutionContext) -> None:
    code = (
        "import sys; print('26/03/04 12:00:00 WARN TaskSetManager: noise of Spark')\n"
        "print('2026-03-04T12:00:00Z stream silver, query silver.labels: OutOfMemoryError: heap')\n"
        "print('\\tat org.apache.spark.Foo(Foo.scala:1)'); sys.exit(1)"
    )
    with pytest.raises(dg.Failure) as caught:
        run_driver(context, Platform(settings), LAKE, script(code), PATIENT)
    assert caught.value.description == (
        "driver of lake ended with exit code 1: stream silver, query silver.labels: OutOfMemoryError: heap"
    )
    assert caught.value.allow_retries is False
    assert set(caught.value.metadata) == {"log", "tail"}


def test_driver_that_dies_without_a_word_points_to_its_log(settings: Settings, context: dg.OpExecutionContext) -> None:
    with pytest.raises(dg.Failure, match="exit code -9: see its log"):
        run_driver(context, Platform(settings), LAKE, script("import os; os.kill(os.getpid(), 9)"), PATIENT)


@pytest.mark.parametrize("age", [None, 3600], ids=["never beat", "stopped beating"])
def test_hung_driver_is_killed_and_said_to_hang(
    settings: Settings, context: dg.OpExecutionContext, age: int | None
) -> None:
    then = datetime.now(UTC) - timedelta(seconds=age or 0)
    beats = () if age is None else (Beat("silver", context.run_id, "running", then, "host", 1),)
    with pytest.raises(dg.Failure, match=r"no heartbeat of (silver|lake) for over 60 s: hung"):
        run_driver(context, FakePlatform(settings, beats=beats), LAKE, script(STUBBORN), HASTY)
    assert not [p for p in psutil.process_iter(["cmdline"]) if STUBBORN in (p.info["cmdline"] or ())]


def test_beating_driver_is_left_alone(settings: Settings, context: dg.OpExecutionContext) -> None:
    beats = (Beat("silver", context.run_id, "running", datetime.now(UTC), "host", 1),)
    run_driver(context, FakePlatform(settings, beats=beats), LAKE, script("import time; time.sleep(0.6)"), HASTY)


def test_database_that_is_away_is_no_proof_of_a_hung_driver(settings: Settings, context: dg.OpExecutionContext) -> None:
    @dataclass(frozen=True, slots=True)
    class Away(Platform):
        @contextmanager
        def database(self, role: str = "fraud_reader") -> Any:
            raise psycopg.OperationalError("connection refused")
            yield

    run_driver(context, Away(settings), LAKE, script("import time; time.sleep(0.6)"), HASTY)


def test_environment_names_the_supervisor_and_its_run() -> None:
    ours = environment(LAKE, "run-7")
    assert ours[SUPERVISOR_VARIABLE] == f"{os.getpid()}:{psutil.Process().create_time()}"
    assert (ours["MEDALLION_APPLICATION"], ours["MEDALLION_RUN_ID"]) == ("lake", "run-7")
    assert supervisor_alive(ours[SUPERVISOR_VARIABLE])


def test_driver_notices_that_its_supervisor_is_gone() -> None:
    supervisor = subprocess.Popen(script(SLEEPS), stdout=subprocess.DEVNULL)
    word = f"{supervisor.pid}:{psutil.Process(supervisor.pid).create_time()}"
    assert supervisor_alive(word)
    supervisor.kill()
    wait_for(lambda: psutil.Process(supervisor.pid).status() == psutil.STATUS_ZOMBIE)
    assert not supervisor_alive(word), "dead, though nobody has reaped it yet"
    supervisor.wait()
    assert not supervisor_alive(word)


def test_another_process_with_the_old_number_is_not_the_supervisor() -> None:
    assert not supervisor_alive(f"{os.getpid()}:{psutil.Process().create_time() - 500}")


def test_driver_started_by_hand_misses_nobody() -> None:
    assert supervisor_alive(None)
    assert supervisor_alive("")


@pytest.mark.parametrize("lane", AlertLane)
@pytest.mark.parametrize("layout", Layout)
def test_command_lines_name_scripts_that_exist_and_hold_no_secret(layout: Layout, lane: AlertLane) -> None:
    for application in applications(layout):
        arguments = command(application, lane)
        assert sys.executable in arguments
        (path,) = [Path(each) for each in arguments if each.endswith(".py")]
        assert path.is_relative_to(PROJECT_ROOT / "spark_jobs")
        assert path.is_file()
        named = [each for each in arguments if each in application.stream_names]
        only = [stream.script_of(lane) for stream in application.streams] == [path.name]
        assert only or named == list(application.stream_names)


def test_supervisor_run_is_alone_and_never_retried() -> None:
    job = supervisor_job(LAKE)
    assert job.tags["fraud/stream"] == "lake"
    assert job.tags["dagster/max_retries"] == "0"


def test_log_is_kept_small(settings: Settings, context: dg.OpExecutionContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medallion_assets.defs.streams.supervisor._LOG_LIMIT_BYTES", 5)
    for word in ("first run", "second run"):
        run_driver(context, Platform(settings), LAKE, script(f"print('{word}')"), PATIENT)
    log = log_path(settings, LAKE)
    assert tail(log) == "second run"
    assert tail(log.with_suffix(".log.1")) == "first run"


def test_log_of_a_driver_that_runs_for_long_is_kept_small(
    settings: Settings, context: dg.OpExecutionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medallion_assets.defs.streams.supervisor._LOG_LIMIT_BYTES", 5)
    log = log_path(settings, LAKE)
    put_aside = f"pathlib.Path({str(log.with_suffix('.log.1'))!r}).exists()"
    driver = f"""
import pathlib, time
print("first week", flush=True)
while not {put_aside}:
    time.sleep(0.05)
time.sleep(0.2)
print("last")
"""
    run_driver(context, Platform(settings), LAKE, script(driver), Patience(poll=0.05, look=0.1, stop=10))
    assert log.read_text() == "last\n"
    assert tail(log.with_suffix(".log.1")) == "first week"


def test_tail_reads_the_end_of_a_long_log_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(f"line {n}" for n in range(100_000)))
    assert re.fullmatch(r"(line \d+\n){24}line 99999", tail(log))

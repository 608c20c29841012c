"""Processes are recognised without doubt, and exactly those meant are ended."""

import os
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud_domain.settings import PROJECT_ROOT
from medallion_services.embedded.environment import MARKER
from medallion_services.embedded.processes import (
    ProcessId,
    end_all,
    end_marked,
    identify,
    log_tail,
    marked,
    rotate_log,
    signal_all,
    spawn,
    wait_gone,
)

SLEEP = "import time; time.sleep(300)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(300)"
)
PARENT = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {SLEEP!r}], start_new_session=True, env={{}})
print("up", flush=True)
time.sleep(300)
"""


def start(code: str, tmp_path: Path, instance: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, MARKER: instance}
    return spawn((sys.executable, "-c", code), environment=environment, log=tmp_path / "log", cwd=tmp_path)


def wait_for_output(tmp_path: Path) -> None:
    deadline = time.monotonic() + 20
    while not log_tail(tmp_path / "log"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def instance() -> Iterator[str]:
    name = uuid.uuid4().hex
    yield name
    end_marked(name, grace=1)


def identity(process: subprocess.Popen[bytes]) -> ProcessId:
    found = identify(process.pid)
    assert found is not None
    return found


def test_leftovers_are_exactly_the_marked_ones(tmp_path: Path, instance: str) -> None:
    ours, other = start(SLEEP, tmp_path, instance), start(SLEEP, tmp_path, instance + "x")
    try:
        assert [each.pid for each in end_marked(instance, grace=5)] == [ours.pid]
        assert ours.wait(5) == -signal.SIGTERM
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_descendants_that_dropped_the_marker_are_ended_too(tmp_path: Path, instance: str) -> None:
    parent = start(PARENT, tmp_path, instance)
    wait_for_output(tmp_path)
    found = marked(instance)
    assert len(found) == 2
    end_marked(instance, grace=5)
    parent.wait(5)
    assert not wait_gone(found, 5)


def test_process_that_ignores_sigterm_is_killed(tmp_path: Path, instance: str) -> None:
    process = start(STUBBORN, tmp_path, instance)
    wait_for_output(tmp_path)
    end_all([identity(process)], grace=0.3)
    assert process.wait(5) == -signal.SIGKILL


def test_reused_process_id_is_never_signalled(tmp_path: Path, instance: str) -> None:
    process = start(SLEEP, tmp_path, instance)
    earlier = ProcessId(process.pid, identity(process).created - 100)
    signal_all([earlier], signal.SIGKILL)
    time.sleep(0.1)
    assert process.poll() is None


def test_zombie_does_not_count_as_running(tmp_path: Path, instance: str) -> None:
    process = start("", tmp_path, instance)
    identity_of_it = identity(process)
    assert not wait_gone([identity_of_it], 10)
    process.wait()


def test_child_has_a_session_of_its_own_and_no_input(tmp_path: Path, instance: str) -> None:
    process = start("import os, sys; print(os.getsid(0) == os.getpid(), repr(sys.stdin.read()))", tmp_path, instance)
    process.wait(20)
    assert log_tail(tmp_path / "log") == "True ''"


SPAWN_AFTER_A_DAGSTER_RUN = """
import signal, subprocess, sys
from medallion_assets_tests.signals import heed_signals
heed_signals()
signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))  # as Dagster does at the end of every run
child = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(300)"], stdout=-1)
child.stdout.readline()
child.terminate()
try:
    print(child.wait(5))
finally:
    child.kill()
"""


def test_run_in_the_background_of_a_script_starts_processes_that_heed_sigterm() -> None:
    """Such a run ignores SIGINT, and Dagster would have it and all that it starts ignore SIGTERM, too."""
    script = f"{shlex.join([sys.executable, '-c', SPAWN_AFTER_A_DAGSTER_RUN])} & wait $!"
    ran = subprocess.run(["/bin/sh", "-c", script], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60)
    assert ran.stdout == f"{-signal.SIGTERM}\n", ran.stderr


def test_grown_log_is_rotated(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    for number in range(5):
        log.write_text(f"run {number}")
        rotate_log(log, limit=1, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.log.1", "x.log.2"]
    assert (tmp_path / "x.log.1").read_text() == "run 4"


def test_small_log_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("short")
    rotate_log(log)
    assert log.read_text() == "short"

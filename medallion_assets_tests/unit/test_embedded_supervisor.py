"""The supervisor's promises, kept with real processes (small Python scripts instead of servers)."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medallion_assets_tests.watching import eventually, watched
from medallion_services.embedded.component import Component
from medallion_services.embedded.owner import ComponentState
from medallion_services.embedded.ports import PortClaim, free_ports
from medallion_services.embedded.processes import ProcessId, alive, tree
from medallion_services.embedded.supervisor import StopRequested, Supervisor, restart_delay
from medallion_services.errors import UserError

READY = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(300)"
CHATTY_FAILURE = "import sys; print('cannot read the configuration'); sys.exit(3)"
DETACHED_CHILD = """
import pathlib, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
pathlib.Path(sys.argv[1]).touch()
time.sleep(300)
"""


class Notes:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def starting(self, name: str) -> None:
        self.events.append(("starting", name))

    def ready(self, name: str, seconds: float) -> None:
        self.events.append(("ready", name))

    def died(self, name: str, code: int | None, delay: float, log: Path) -> None:
        self.events.append(("died", name))

    def stopping(self, name: str) -> None:
        self.events.append(("stopping", name))


def component(tmp_path: Path, name: str, code: str = READY, **more: Any) -> Component:
    flag = tmp_path / f"{name}.ready"

    def prepare() -> None:
        flag.unlink(missing_ok=True)

    options: dict[str, Any] = {"is_ready": flag.exists, "prepare": prepare, "stop_grace": 5.0} | more
    return Component(
        name=name,
        command=(sys.executable, "-c", code, str(flag)),
        environment=dict(os.environ),
        cwd=tmp_path,
        **options,
    )


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def states() -> dict[str, ComponentState]:
    return {}


@pytest.fixture
def supervisor(tmp_path: Path, notes: Notes, states: dict[str, ComponentState]) -> Iterator[Supervisor]:
    made = Supervisor((), tmp_path / "logs", notes, on_change=lambda phase, components: states.update(components))
    yield made
    made.stop()


def pid_of(states: dict[str, ComponentState], name: str) -> ProcessId:
    state = states[name]
    assert state.pid is not None
    assert state.created is not None
    return ProcessId(state.pid, state.created)


def test_next_stage_waits_for_the_one_before(tmp_path: Path, supervisor: Supervisor, notes: Notes) -> None:
    supervisor.stages = (
        (component(tmp_path, "database"), component(tmp_path, "broker")),
        (component(tmp_path, "application"),),
    )
    supervisor.start()
    assert notes.events[:2] == [("starting", "database"), ("starting", "broker")]
    assert notes.events[-2:] == [("starting", "application"), ("ready", "application")]


def test_components_stop_in_reverse_and_nothing_is_left(
    tmp_path: Path, supervisor: Supervisor, notes: Notes, states: dict[str, ComponentState]
) -> None:
    supervisor.stages = ((component(tmp_path, "first"),), (component(tmp_path, "second", DETACHED_CHILD),))
    supervisor.start()
    members = [*tree(pid_of(states, "first").pid), *tree(pid_of(states, "second").pid)]
    assert len(members) == 3
    supervisor.stop()
    assert notes.events[-2:] == [("stopping", "second"), ("stopping", "first")]
    assert not alive(members)


def test_component_that_dies_is_started_again(
    tmp_path: Path, supervisor: Supervisor, notes: Notes, states: dict[str, ComponentState]
) -> None:
    supervisor.stages = ((component(tmp_path, "server"),),)
    supervisor.start()
    with watched(supervisor):
        first = pid_of(states, "server")
        os.kill(first.pid, signal.SIGKILL)
        eventually(lambda: notes.events[-1] == ("ready", "server") and ("died", "server") in notes.events)
        assert pid_of(states, "server") != first
        assert states["server"].restarts == 1


def test_roles_and_topics_are_prepared_once_not_at_every_restart(
    tmp_path: Path, supervisor: Supervisor, notes: Notes, states: dict[str, ComponentState]
) -> None:
    prepared: list[str] = []
    supervisor.stages = ((component(tmp_path, "server", once_ready=lambda: prepared.append("x")),),)
    supervisor.start()
    with watched(supervisor):
        os.kill(pid_of(states, "server").pid, signal.SIGKILL)
        eventually(lambda: notes.events[-1] == ("ready", "server") and ("died", "server") in notes.events)
    assert prepared == ["x"]


def test_failed_start_shows_the_end_of_the_log(tmp_path: Path, supervisor: Supervisor) -> None:
    supervisor.stages = ((component(tmp_path, "server", CHATTY_FAILURE),),)
    with pytest.raises(UserError, match=r"(?s)server ended while starting \(code 3\).*cannot read the configuration"):
        supervisor.start()


def test_component_that_never_answers_is_given_up(tmp_path: Path, supervisor: Supervisor) -> None:
    supervisor.stages = ((component(tmp_path, "server", is_ready=lambda: False, start_timeout=0.5),),)
    with pytest.raises(UserError, match="server did not answer within"):
        supervisor.start()


def test_taken_port_names_port_holder_and_variable(tmp_path: Path, supervisor: Supervisor) -> None:
    import socket

    (port,) = free_ports(1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        supervisor.stages = ((component(tmp_path, "server", ports=(PortClaim(port, "MEDALLION_X__PORT"),)),),)
        with pytest.raises(UserError) as refused:
            supervisor.start()
    for part in (str(port), f"process {os.getpid()}", "MEDALLION_X__PORT"):
        assert part in str(refused.value)


def test_stop_request_interrupts_the_start(tmp_path: Path, supervisor: Supervisor) -> None:
    supervisor.stages = ((component(tmp_path, "server", is_ready=lambda: False),),)
    threading.Timer(0.3, supervisor.stop_event.set).start()
    with pytest.raises(StopRequested):
        supervisor.start()


def test_restarts_back_off_and_never_give_up() -> None:
    delays = [restart_delay(failures) for failures in range(1, 20)]
    assert delays == sorted(delays)
    assert delays[0] < 1
    assert delays[-1] == 30

"""One whole life of a stack: take ownership, clear leftovers, prepare, start, watch, stop."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

import psutil

from fraud_domain.settings import Settings
from medallion_services.embedded import jars
from medallion_services.embedded.environment import instance_id
from medallion_services.embedded.java import Java, find_java
from medallion_services.embedded.owner import ComponentState, OwnerState, ownership, read_state, write_state
from medallion_services.embedded.processes import ProcessId, end_marked, signal_all, wait_gone
from medallion_services.embedded.reporter import Reporter
from medallion_services.embedded.secrets import ensure_secrets
from medallion_services.embedded.spark_conf import write_spark_conf
from medallion_services.embedded.stack import Extension, build_stages, prepare_external
from medallion_services.embedded.supervisor import StopRequested, Supervisor

LEFTOVER_GRACE = 20.0
OWNER_GRACE = 180.0
"""Longer than all components' graces that can follow one another."""


class Progress(Reporter, Protocol):
    """Everything `up` has to say."""

    def leftovers(self, count: int) -> None:
        """Processes of an owner that was killed have been ended."""

    def java(self, java: Java) -> None:
        """The runtime that was chosen."""

    def downloading(self, count: int) -> None:
        """So many jars are about to come."""

    def downloaded(self, name: str) -> None:
        """One of them came."""


def make_directories(settings: Settings) -> None:
    """Make the data directory and what every start needs in it."""
    # As root PostgreSQL runs as somebody else, who has to pass through; he cannot list it.
    settings.data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    settings.run_dir.mkdir(exist_ok=True)
    settings.log_dir.mkdir(exist_ok=True)


def prepare(settings: Settings, progress: Progress) -> Java:
    """Everything that must exist before the first process: directories, secrets, Java, jars, Spark's configuration.

    Raises:
        UserError: no Java, no network for missing jars, a jar that is not what was locked.
    """
    make_directories(settings)
    ensure_secrets(settings)
    java = find_java(settings)
    progress.java(java)
    jars.fetch(settings, java, on_total=progress.downloading, on_file=progress.downloaded)
    shutil.rmtree(settings.run_dir / "spark-tmp", ignore_errors=True)
    write_spark_conf(settings)
    return java


def _publisher(settings: Settings) -> Callable[[str, Mapping[str, ComponentState]], None]:
    process = psutil.Process()
    started = datetime.now(UTC).isoformat(timespec="seconds")

    def publish(phase: str, components: Mapping[str, ComponentState]) -> None:
        write_state(settings, OwnerState(process.pid, process.create_time(), started, phase, components))

    return publish


@contextmanager
def running_stack(settings: Settings, progress: Progress, extension: Extension | None = None) -> Iterator[Supervisor]:
    """A started stack; leaving the block, also by an exception, stops all of it.

    Raises:
        UserError: the data directory has an owner, or something cannot be started.
        StopRequested: a signal came while starting.
    """
    make_directories(settings)
    with ownership(settings):
        supervisor = Supervisor((), settings.log_dir, progress, on_change=_publisher(settings))
        supervisor.handle_signals()
        supervisor.on_change("preparing", {})
        if ended := end_marked(instance_id(settings), LEFTOVER_GRACE):
            progress.leftovers(len(ended))
        java = prepare(settings, progress)
        prepare_external(settings, extension)
        supervisor.stages = build_stages(settings, java, extension)
        try:
            supervisor.start()
            yield supervisor
        finally:
            supervisor.stop()
            end_marked(instance_id(settings), LEFTOVER_GRACE)
            (settings.run_dir / "owner.json").unlink(missing_ok=True)


def run(
    settings: Settings,
    progress: Progress,
    extension: Extension | None = None,
    on_running: Callable[[Supervisor], None] = lambda supervisor: None,
) -> None:
    """Run the stack until a signal asks to stop.

    Raises:
        UserError: see `running_stack`.
    """
    try:
        with running_stack(settings, progress, extension) as supervisor:
            on_running(supervisor)
            supervisor.watch()
    except StopRequested:
        return


def end(settings: Settings, on_wait: Callable[[ProcessId], None] = lambda owner: None) -> tuple[bool, int]:
    """Stop the owner of a data directory and all that is left of it.

    Returns:
        Whether an owner was running, and how many processes it had left behind.
    """
    state = read_state(settings)
    if state is not None:
        on_wait(state.process)
        _end_owner(state.process)
    left = end_marked(instance_id(settings), LEFTOVER_GRACE)
    return state is not None, len(left)


def _end_owner(owner: ProcessId) -> None:
    signal_all((owner,), signal.SIGTERM)
    if wait_gone((owner,), OWNER_GRACE):
        signal_all((owner,), signal.SIGKILL)
        wait_gone((owner,), 5.0)

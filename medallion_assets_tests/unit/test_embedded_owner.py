"""One owner per data directory."""

import os
from pathlib import Path

import psutil
import pytest

from fraud_domain.settings import Settings
from medallion_services.embedded.owner import ComponentState, OwnerState, ownership, read_state, write_state
from medallion_services.errors import UserError


def state_of(pid: int, created: float) -> OwnerState:
    return OwnerState(
        pid, created, "2026-01-01T00:00:00+00:00", "running", {"kafka": ComponentState("running", 1, 2.0)}
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def test_second_owner_is_refused(settings: Settings) -> None:
    with ownership(settings):
        write_state(settings, state_of(os.getpid(), psutil.Process().create_time()))
        with pytest.raises(UserError, match=f"process {os.getpid()} since 2026"), ownership(settings):
            pass


def test_ownership_ends_with_its_holder(settings: Settings) -> None:
    child = os.fork()
    if child == 0:
        with ownership(settings):
            os._exit(0)
    os.waitpid(child, 0)
    with ownership(settings):
        pass


def test_state_of_a_running_owner_is_read_back(settings: Settings) -> None:
    settings.run_dir.mkdir()
    written = state_of(os.getpid(), psutil.Process().create_time())
    write_state(settings, written)
    assert read_state(settings) == written


def test_state_of_a_dead_owner_is_ignored(settings: Settings) -> None:
    settings.run_dir.mkdir()
    write_state(settings, state_of(os.getpid(), psutil.Process().create_time() - 1000))
    assert read_state(settings) is None
    assert read_state(Settings(data_dir=settings.data_dir / "other")) is None

"""The one owner of a data directory: a lock that dies with its holder, and what the owner says of itself."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fraud_domain.settings import Settings
from medallion_services.embedded.processes import ProcessId
from medallion_services.errors import UserError


@dataclass(frozen=True, slots=True)
class ComponentState:
    """One component as the owner sees it."""

    state: str
    pid: int | None = None
    created: float | None = None
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class OwnerState:
    """What the owner last wrote down; true only while its process lives."""

    pid: int
    created: float
    started_at: str
    phase: str
    components: Mapping[str, ComponentState] = field(default_factory=dict)

    @property
    def process(self) -> ProcessId:
        """The owner's process."""
        return ProcessId(self.pid, self.created)


def _state_file(settings: Settings) -> Path:
    return settings.run_dir / "owner.json"


def write_state(settings: Settings, state: OwnerState) -> None:
    """Publish the owner's state; readers see the old or the new one, never half."""
    path = _state_file(settings)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(asdict(state)), encoding="utf-8")
    temporary.replace(path)


def read_state(settings: Settings) -> OwnerState | None:
    """The state of the owner that runs now; None when there is none."""
    try:
        document = json.loads(_state_file(settings).read_text(encoding="utf-8"))
        components = {name: ComponentState(**each) for name, each in document.pop("components").items()}
        state = OwnerState(**document, components=components)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return state if state.process.find() is not None else None


@contextmanager
def ownership(settings: Settings) -> Iterator[None]:
    """Hold the data directory for the length of the block.

    Raises:
        UserError: another process holds it.
    """
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    with (settings.run_dir / "owner.lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            state = read_state(settings)
            who = f" by process {state.pid} since {state.started_at}" if state else ""
            raise UserError(
                f"the stack in {settings.data_dir} is already being run{who}. Look at it with `medallion status`, "
                "stop it with `medallion down`, or run a second one elsewhere: MEDALLION_DATA_DIR and other ports."
            ) from None
        yield

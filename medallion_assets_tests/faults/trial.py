"""Try faults one after another, in as few worlds as they allow, and say what came of each."""

import shutil
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from medallion_assets_tests.faults import checker
from medallion_assets_tests.faults.fault import CannotHappenHereError, Elsewhere, Fault
from medallion_assets_tests.faults.world import Kind, World, world


class Verdict(StrEnum):
    """What came of a trial."""

    HELD = "held"
    BROKEN = "BROKEN"
    NOT_TRIED = "not tried"


@dataclass(slots=True)
class Outcome:
    """One trial. `recovered` is seconds from the end of the fault until every invariant held."""

    id: str
    title: str
    verdict: Verdict = Verdict.BROKEN
    hit: str = ""
    invariants: int = 0
    recovered: float | None = None
    took: float = 0.0
    text: str = ""
    counts: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """For the history file."""
        return asdict(self)


def try_all(faults: Sequence[Fault | Elsewhere], seed: int, evidence: Path) -> Iterator[Outcome]:
    """Outcomes as they come. After one that broke something the next gets a new world.

    Args:
        evidence: where the logs of a broken world are kept.
    """
    with ExitStack() as open_world:
        current: World | None = None
        before: Kind | None = None
        for fault in sorted(faults, key=_world):
            kind = fault.kind if isinstance(fault, Fault) else None
            if kind != before or kind in (None, Kind.OWN):
                open_world.close()
                current = None
            before = kind
            started = time.monotonic()
            outcome = Outcome(fault.id, fault.title)
            try:
                if isinstance(fault, Fault):
                    current = current or _started(open_world.enter_context(world(seed, fault.kind)), fault)
                    try_one(fault, current, outcome)
                else:
                    outcome.hit = fault.run(seed)
                    outcome.verdict = Verdict.HELD
            except CannotHappenHereError as reason:
                outcome.verdict, outcome.text = Verdict.NOT_TRIED, str(reason)
            except Exception as error:
                outcome.text = f"{type(error).__name__}: {error}"
                keep(evidence / fault.id, current, traceback.format_exc())
                before = None
            outcome.took = time.monotonic() - started
            yield outcome


def _world(fault: Fault | Elsewhere) -> int:
    """Those that share a world stand together; the order within is the catalogue's."""
    order = (Kind.SHARED, Kind.DIRECT, Kind.DISKS, Kind.OWN)
    return order.index(fault.kind) if isinstance(fault, Fault) else len(order)


def _started(made: World, fault: Fault) -> World:
    if fault.starts_drivers:
        made.start_drivers()
        made.alerts.wait_running()
    return made


def try_one(fault: Fault, where: World, outcome: Outcome) -> None:
    """Do the fault and look at everything afterwards; fills the outcome.

    Raises:
        AssertionError: something does not hold.
    """
    outcome.hit = fault.run(where)
    if fault.settles:
        outcome.recovered, passed = where.settle()
        outcome.invariants = len(passed)
        outcome.counts = checker.counts(where.settings)
    outcome.verdict = Verdict.HELD


def keep(directory: Path, where: World | None, trace: str) -> None:
    """Keep what tells why a trial failed."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "trace.txt").write_text(trace, encoding="utf-8")
    if where is not None:
        shutil.copytree(where.settings.log_dir, directory / "logs", dirs_exist_ok=True)

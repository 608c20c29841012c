"""What a fault is: data for the catalogue, and one function that does it to a world."""

from collections.abc import Callable
from dataclasses import dataclass

from medallion_assets_tests.faults.world import Kind, World


class CannotHappenHereError(RuntimeError):
    """This machine does not let us make the fault; it is reported as not tried, never as passed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of the catalogue.

    `run` does the fault, calls `world.lifted()` when it is over, and returns the proof that it happened; it raises
    AssertionError when something of its own does not hold. Unless `settles` is false, every invariant must hold then.
    """

    id: str
    title: str
    holds: str
    """What must be true, beyond the invariants."""
    run: Callable[[World], str]
    kind: Kind = Kind.SHARED
    settles: bool = True
    starts_drivers: bool = True
    """Whether both drivers are to run before the fault; else it starts what it needs."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A fault that needs a world of another kind and brings it along; `run` takes the seed."""

    id: str
    title: str
    holds: str
    run: Callable[[int], str]

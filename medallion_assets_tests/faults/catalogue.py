"""Every fault there is. To add one, write a function and a line in the module of its kind."""

from medallion_assets_tests.faults import (
    control_plane_faults,
    disk_faults,
    driver_faults,
    kafka_faults,
    message_faults,
    other_faults,
    postgres_faults,
    upgrade_faults,
)
from medallion_assets_tests.faults.fault import Elsewhere, Fault

FAULTS: tuple[Fault | Elsewhere, ...] = (
    *driver_faults.FAULTS,
    *kafka_faults.FAULTS,
    *postgres_faults.FAULTS,
    *message_faults.FAULTS,
    *disk_faults.FAULTS,
    *control_plane_faults.FAULTS,
    *other_faults.FAULTS,
    *upgrade_faults.FAULTS,
)


def chosen(ids: list[str]) -> tuple[Fault | Elsewhere, ...]:
    """The faults with these ids, or whose ids begin with one and a dot; all when there are none.

    Raises:
        KeyError: no fault is called so; the message lists those there are.
    """
    for wanted in ids:
        if not any(_is(fault, wanted) for fault in FAULTS):
            raise KeyError(f"no fault '{wanted}'; known: {', '.join(fault.id for fault in FAULTS)}")
    return tuple(fault for fault in FAULTS if not ids or any(_is(fault, wanted) for wanted in ids))


def _is(fault: Fault | Elsewhere, wanted: str) -> bool:
    return fault.id == wanted or fault.id.startswith(f"{wanted}.")

"""An upgrade: this release starts what an older one left behind."""

import tarfile
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from medallion_assets_tests.faults import record
from medallion_assets_tests.faults.fault import Elsewhere
from medallion_assets_tests.faults.world import World, world
from medallion_assets_tests.pipeline import database


def started_from(archive: Path, seed: int) -> str:
    """Lay out the record, start, send more, and ask for everything, what was there before included."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        with world(seed, rules={"directory": folder / "rules"}) as here:
            record.lay_out(folder, here.settings)
            record.remember(folder, here.traffic)
            kept, before = _alerts(here), sum(here.traffic.acked.values())
            here.start_drivers()
            here.traffic.send(1800)
            here.wait_alert(here.traffic.probe(3))
            here.lifted()
            seconds, passed = here.settle()
            after = _alerts(here)
            changed = [name for name, row in kept.items() if after.get(name) != row]
            assert not changed, f"alerts of the older release are not what they were: {changed[:3]}"
            assert not here.alerts.ended + here.lake.ended, "a driver ended"
    return (
        f"{archive.name}: {before} messages and {len(kept)} alerts of before, {len(after)} alerts after;"
        f" {len(passed)} invariants held after {seconds:.0f} s"
    )


def _alerts(here: World) -> dict[str, dict[str, Any]]:
    with database(here.settings) as connection:
        found = connection.execute("SELECT alert_id, transaction_id, score, level, typology, reasons FROM fraud.alerts")
        return {row["alert_id"]: row for row in found}


FAULTS = tuple(
    Elsewhere(
        f"U1.{archive.name.removesuffix('.tar.gz')}",
        f"State of release {archive.name.removesuffix('.tar.gz')} started by this one",
        "It goes on where that one stopped, with what it raised",
        partial(started_from, archive),
    )
    for archive in sorted(record.RELEASES.glob("*.tar.gz"))
)

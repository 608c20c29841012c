"""`python -m medallion_assets_tests.faults`: try the faults of the catalogue, or kill drivers without end."""

import argparse
import json
import math
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import Any

from fraud_domain.settings import Settings
from medallion_assets_tests.faults.catalogue import FAULTS, chosen
from medallion_assets_tests.faults.kills import kill_often
from medallion_assets_tests.faults.trial import Outcome, Verdict, try_all

_ROW = "{:<46} {:<9} {:>10} {:>11} {:>8}  {}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 0 when everything held."""
    parser = argparse.ArgumentParser(prog="python -m medallion_assets_tests.faults", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="faults by id, such as D1 P3.reset")
    parser.add_argument("--seed", type=int, default=None, help="of traffic and chance; else a new one")
    parser.add_argument("--kills", type=int, default=0, metavar="N", help="instead: N random kill -9 in one run")
    parser.add_argument("--direct", action="store_true", help="kill drivers of the direct alert lane")
    parser.add_argument("--minutes", type=float, default=math.inf, help="of killing, at most")
    parser.add_argument("--list", action="store_true", help="only list the faults")
    options = parser.parse_args(arguments)
    if options.list:
        for fault in FAULTS:
            say(f"{fault.id:<46} {fault.title}: {fault.holds}")
        return 0
    try:
        faults = chosen(options.only)
    except KeyError as error:
        say(str(error.args[0]))
        return 2
    # So that whoever ends it ends its servers and drivers, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    seed = SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    home = Settings().data_dir / "faults"
    home.mkdir(parents=True, exist_ok=True)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{seed}"
    say(f"seed {seed}; history {home / name}.json")
    if options.kills:
        figures = kill_often(options.kills, seed, say, home / name, options.minutes, options.direct)
        write(home / f"{name}.json", seed, [figures])
        return 0 if figures["verdict"] == Verdict.HELD else 1
    say(_ROW.format("fault", "verdict", "invariants", "recovered s", "took s", "proof that it happened"))
    outcomes: list[Outcome] = []
    for outcome in try_all(faults, seed, home / name):
        outcomes.append(outcome)
        say(row(outcome))
        write(home / f"{name}.json", seed, [each.as_json() for each in outcomes])
    broken = [outcome.id for outcome in outcomes if outcome.verdict is Verdict.BROKEN]
    say(f"{len(outcomes)} faults tried, {len(broken)} broken {broken or ''}; load average {os.getloadavg()[0]:.1f}")
    return 1 if broken else 0


def row(outcome: Outcome) -> str:
    """One line of the table."""
    recovered = "-" if outcome.recovered is None else f"{outcome.recovered:.1f}"
    invariants = str(outcome.invariants or "-")
    text = outcome.hit if outcome.verdict is Verdict.HELD else outcome.text
    return _ROW.format(outcome.id, outcome.verdict, invariants, recovered, f"{outcome.took:.0f}", text)


def write(path: Path, seed: int, outcomes: list[dict[str, Any]]) -> None:
    """The history of a run, so far."""
    document = {"seed": seed, "at": datetime.now(UTC).isoformat(), "cpus": os.cpu_count(), "trials": outcomes}
    path.write_text(json.dumps(document, indent=1, default=str) + "\n", encoding="utf-8")


def say(line: str) -> None:
    """One line for the reader."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

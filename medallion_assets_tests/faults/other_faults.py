"""Faults that other tests of this project already make; here they are rows of the one table."""

import subprocess
import sys
from functools import partial

from fraud_domain.settings import PROJECT_ROOT
from medallion_assets_tests.faults.fault import Elsewhere


def tests_pass(path: str, seed: int) -> str:
    """Run tests of the project; returns what pytest says of them.

    Raises:
        AssertionError: one fails; the message holds the end of what pytest said.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *path.split()]
    answer = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False, timeout=1800)
    assert answer.returncode == 0, answer.stdout[-2000:]
    return f"{path}: {answer.stdout.strip().splitlines()[-1]}"


_TESTS = "medallion_assets_tests"
FAULTS = (
    Elsewhere(
        "N1",
        "Providers refuse, fail, hang; a notifier is killed while sending",
        "Back-off, dead letters, repeats with the same key",
        partial(tests_pass, f"{_TESTS}/integration/test_notifier_failures.py"),
    ),
    Elsewhere(
        "D5",
        "Owner, code server, PostgreSQL and broker of the embedded stack killed",
        "The stack heals; nothing is left behind",
        partial(tests_pass, f"{_TESTS}/integration/test_embedded_stack.py"),
    ),
    Elsewhere(
        "H1",
        "One day of a backfill of seven cannot be written",
        "The others are, one at a time, and the backfill tells how many",
        partial(tests_pass, f"-m long {_TESTS}/integration/test_backfill.py"),
    ),
)

"""Faults that need a world of another kind: an older version's, or that of tests which make the fault already."""

import subprocess
import sys
from functools import partial

from fraud_domain.settings import PROJECT_ROOT
from medallion_assets_tests.faults.fault import Elsewhere
from medallion_assets_tests.faults.golden import restored_and_continued


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
        "U1",
        "Lake, checkpoints and database of an earlier version",
        "The present code goes on with them",
        restored_and_continued,
    ),
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
)

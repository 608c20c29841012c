"""Failpoints do what they say, once, and only when asked; each is called, tried by a fault, and on the page."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fraud_domain.settings import PROJECT_ROOT
from medallion_assets_tests.faults.catalogue import FAULTS
from spark_jobs.failpoints import LOG_VARIABLE, VARIABLE, Failpoint, FailpointError, reached

PAGE = PROJECT_ROOT / "docs" / "faults.md"


def test_nothing_happens_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    for point in Failpoint:
        reached(point, "silver.transactions")


def test_the_nth_time_counts_and_only_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = tmp_path / "hits"
    monkeypatch.setenv(VARIABLE, "after_append@silver.labels:2:raise")
    monkeypatch.setenv(LOG_VARIABLE, str(log))
    reached(Failpoint.AFTER_APPEND, "silver.labels")
    reached(Failpoint.AFTER_APPEND, "silver.transactions")
    reached(Failpoint.BEFORE_APPEND, "silver.labels")
    assert not log.exists()
    with pytest.raises(FailpointError):
        reached(Failpoint.AFTER_APPEND, "silver.labels")
    reached(Failpoint.AFTER_APPEND, "silver.labels")
    assert log.read_text() == f"after_append@silver.labels:2:raise pid={os.getpid()}\n"


def test_several_at_once_of_any_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "before_merge:1:enospc, after_merge:1:sleep:0.2")
    with pytest.raises(OSError, match="No space left on device"):
        reached(Failpoint.BEFORE_MERGE, "gold.customer_profiles")
    started = time.monotonic()
    reached(Failpoint.AFTER_MERGE, "gold.customer_profiles")
    assert time.monotonic() - started >= 0.2


def test_kill9_ends_the_process_and_the_proof_is_there(tmp_path: Path) -> None:
    log = tmp_path / "hits"
    program = "from spark_jobs.failpoints import *; reached(Failpoint.BEFORE_PUBLISH, 't'); print('lived on')"
    environment = {**os.environ, VARIABLE: "before_publish@t:1:kill9", LOG_VARIABLE: str(log)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == ""
    assert log.read_text().startswith("before_publish@t:1:kill9 pid=")


@pytest.mark.parametrize("text", ["nowhere:1:kill9", "before_append:1:explode", "before_append"])
def test_a_misspelt_failpoint_is_an_error(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ValueError, match=r"."):
        reached(Failpoint.BEFORE_APPEND)


@pytest.mark.parametrize("point", Failpoint)
def test_each_is_called_by_a_stream_tried_by_a_fault_and_on_the_page(point: Failpoint) -> None:
    sources = [p.read_text() for p in (PROJECT_ROOT / "spark_jobs").rglob("*.py") if p.name != "failpoints.py"]
    assert any(re.search(rf"reached\(Failpoint\.{point.name}\b", source) for source in sources)
    assert any(re.match(rf"D1\.{point.value}(@|$)", fault.id) for fault in FAULTS)
    assert f"`{point.value}`" in PAGE.read_text(encoding="utf-8")


def test_the_page_lists_every_fault_and_no_other() -> None:
    listed = re.findall(r"^\| ([A-Z]\d\S*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted([*(fault.id for fault in FAULTS), "D9"])

"""The batch job of a day as a run of Dagster has it: its lines are told, and it does not outlive its run."""

import sys
import time

import dagster as dg
import pytest

from medallion_assets.defs.history.definitions import follow, run_job

SAY = "import sys; print('2026-11-27T10:00:00Z halfway', file=sys.stderr, flush=True); "


class _Cancelled(BaseException):
    pass


def test_a_job_that_fails_tells_its_last_line() -> None:
    with pytest.raises(dg.Failure, match="exit code 3: halfway"):
        follow(dg.build_asset_context(), [sys.executable, "-c", SAY + "sys.exit(3)"], {})


def test_a_job_reports_what_it_did() -> None:
    reporting = (
        "from dagster_pipes import open_dagster_pipes; from spark_jobs.batch import report\n"
        "report(lost=1)\n"
        "with open_dagster_pipes():\n    report(decisions=7, rule_set='v'); report(seconds=1.5)"
    )

    @dg.asset
    def recomputed(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata=run_job(context, [sys.executable, "-c", reporting]))

    (made,) = dg.materialize([recomputed]).asset_materializations_for_node("recomputed")
    assert {name: made.metadata[name].value for name in ("decisions", "rule_set", "seconds")} == {
        "decisions": 7, "rule_set": "v", "seconds": 1.5,
    }  # fmt: skip
    assert "lost" not in made.metadata


def test_a_cancelled_run_ends_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    context = dg.build_asset_context()

    def cancelled(*_: object) -> None:
        raise _Cancelled

    monkeypatch.setattr(context.log, "info", cancelled)
    started = time.monotonic()
    with pytest.raises(_Cancelled):
        follow(context, [sys.executable, "-c", SAY + "import time; time.sleep(60)"], {})
    assert time.monotonic() - started < 30

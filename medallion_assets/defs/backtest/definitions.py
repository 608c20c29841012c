"""The asset `gold/backtest_daily`: one day of silver, judged by the rules in use and by the labels known today."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import dagster as dg

from fraud_domain.settings import Settings
from medallion_assets.defs.backtest.summary import metadata
from medallion_assets.specs import asset_key

FIRST_DAY = "2026-01-01"
KEY = dg.AssetKey(["gold", "backtest_daily"])
_TIMEOUT_SECONDS = 3_600
_TAIL = 2_000


class BacktestFailedError(RuntimeError):
    """`medallion backtest` ended with an error; its last words are in the message."""


def command(day: str) -> list[str]:
    """The backtest of one day (`2026-10-01`, UTC), in a process of its own: the control plane runs no rules."""
    after = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
    words = ["backtest", "lake", "--from", day, "--to", f"{after:%Y-%m-%d}", "--json", "-"]
    return [sys.executable, "-m", "medallion_services", *words]


@dg.asset(
    key=KEY,
    deps=[asset_key("silver.transactions"), asset_key("silver.labels")],
    partitions_def=dg.DailyPartitionsDefinition(start_date=FIRST_DAY),
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    group_name="gold",
    owners=["team:fraud"],
    kinds={"python", "duckdb"},
    description="What the rules in use would have done on a day: precision, recall, card precision, and each rule",
)
def backtest_daily(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Run the backtest of the partition's day and report its figures."""
    words = command(context.partition_key)
    # The settings of this process reach the other one by its environment.
    ran = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=_TIMEOUT_SECONDS, env=dict(os.environ)
    )
    if ran.returncode:
        raise BacktestFailedError(f"{' '.join(words[1:])}: exit code {ran.returncode}\n{ran.stderr[-_TAIL:]}")
    context.log.info(ran.stderr)
    return dg.MaterializeResult(metadata=metadata(json.loads(ran.stdout.splitlines()[-1])))


def definitions(settings: Settings) -> dg.Definitions:
    """The asset and the job that fills it."""
    job = dg.define_asset_job(
        "backtest",
        selection=dg.AssetSelection.assets(KEY),
        description="Judge the rules in use on a day of the lake",
        executor_def=dg.in_process_executor,
        tags={"dagster/max_runtime": str(_TIMEOUT_SECONDS), "dagster/max_retries": "0"},
    )
    return dg.Definitions(assets=[backtest_daily], jobs=[job])

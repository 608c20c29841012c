"""The asset `gold/recomputed_decisions`, a day a partition, its check, job and schedule."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from fraud_domain.log_lines import message_in
from fraud_domain.settings import PROJECT_ROOT, Settings
from fraud_domain.tables import table
from medallion_assets.defs.history.late_days import late_days_sensor
from medallion_assets.defs.history.reconcile import lane_began, reconciled
from medallion_assets.defs.quality.lake_sql import lake_sql
from medallion_assets.platform import Platform
from medallion_assets.specs import asset_key, table_asset

RECOMPUTED = table("gold.recomputed_decisions")
CHECK = "stream_equals_batch"
POOL = "history"
DAYS = dg.DailyPartitionsDefinition(start_date="2020-01-01")
_MAX_SECONDS = 6 * 3600
_HOUR = 2


def command(day: date) -> list[str]:
    """The Spark job that decides one day again."""
    script = PROJECT_ROOT / "spark_jobs" / "medallion_gold.py"
    return ["nice", "-n", "10", sys.executable, str(script), "--from", str(day), "--to", str(day + timedelta(days=1))]


def run_job(context: dg.AssetExecutionContext, argv: list[str]) -> dict[str, Any]:
    """Run a batch job; returns what it reports of itself by Dagster Pipes (`spark_jobs.batch.report`).

    Pipes' own client for a subprocess is not used, because it keeps from the run why the job failed.
    """
    injector, reader = dg.PipesTempFileContextInjector(), dg.PipesTempFileMessageReader()
    with dg.open_pipes_session(context, injector, reader) as pipes:
        follow(context, argv, pipes.get_bootstrap_env_vars())
    figures: dict[str, Any] = {}
    for message in pipes.get_custom_messages():
        figures |= message
    return figures


def follow(context: dg.AssetExecutionContext, argv: list[str], more: Mapping[str, str]) -> None:
    """Run a command, its own lines in the log of the run; a run that is cancelled or out of time ends it.

    `more` is added to its environment.

    Raises:
        dg.Failure: it failed; tells its last line.
    """
    last, environment = "", {**os.environ, **more}
    with subprocess.Popen(
        argv, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:  # fmt: skip
        try:
            for line in process.stderr or ():
                if (told := message_in(line)) is not None:
                    last = told
                    context.log.info(told)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise dg.Failure(f"the job ended with exit code {process.returncode}: {last or 'it said nothing'}")


def definitions(settings: Settings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> dg.Definitions:
    """The asset with its check, the schedule for yesterday, and the sensor for days with late rows."""
    key = asset_key(RECOMPUTED.full_name)

    @dg.multi_asset(
        name="recomputed_decisions",
        specs=[table_asset(RECOMPUTED, settings)],
        check_specs=[dg.AssetCheckSpec(CHECK, asset=key, description=reconciled.__doc__)],
        partitions_def=DAYS,
        op_tags={"dagster/priority": "-1"},
        # One at a time, however many days are asked for: each has a JVM of its own.
        pool=POOL,
        retry_policy=dg.RetryPolicy(max_retries=1, delay=60),
    )
    def recomputed(
        context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        day = date.fromisoformat(context.partition_key)
        done = run_job(context, command(day))
        with lake_sql(platform) as lake, platform.database() as database:
            finding = reconciled(lake, day, lane_began(database))
        yield dg.MaterializeResult(asset_key=key, metadata={**done, **finding.figures, "finding": finding.text})
        yield finding.result(key, CHECK)

    job = dg.define_asset_job(
        "recompute_day",
        selection=dg.AssetSelection.assets(recomputed),
        description="Decide a day again from silver and compare with what the stream decided; backfill any days",
        partitions_def=DAYS,
        executor_def=dg.in_process_executor,
        tags={"dagster/max_runtime": str(_MAX_SECONDS), "dagster/max_retries": "0"},
    )
    schedule = dg.build_schedule_from_partitioned_job(
        job, name="recompute_yesterday", hour_of_day=_HOUR, default_status=dg.DefaultScheduleStatus.RUNNING
    )
    late_days = late_days_sensor(job, POOL, clock)
    return dg.Definitions(assets=[recomputed], jobs=[job], schedules=[schedule], sensors=[late_days])

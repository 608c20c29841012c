"""The job `lake_maintenance` and its schedule."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from fraud_domain.tables import delta_tables
from medallion_assets.defs.maintenance.lake import (
    compact,
    cut_log,
    delete_files,
    lagging,
    log_is_needed,
    shape,
    should_compact,
    versions_read,
)
from medallion_assets.platform import Platform
from medallion_assets.specs import asset_key

KEEP_RUNS = timedelta(days=14)
_RUNS_AT_ONCE = 500
_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dg.op(description="Compacts tables that grew many small files, and deletes files that nobody can need")
def maintain_lake(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
    """Every table once; what was found and done is an observation of its asset."""
    with platform.database() as database:
        behind, read = lagging(database), versions_read(database)
    if behind:
        context.log.warning(f"no file is deleted: {', '.join(behind)} may still need old ones")
    for spec in delta_tables():
        delta = platform.delta(spec)
        if delta is None:
            continue
        found = shape(delta)
        removed = compact(delta) if should_compact(spec, found) else 0
        slow = log_is_needed(delta, read, datetime.now(UTC))
        if slow:
            context.log.info(f"{spec.full_name} keeps its log: a stream has still to read an old commit")
        deleted, may_forget = 0, not (slow or behind)
        if may_forget:
            cut_log(delta)
            deleted = delete_files(spec, delta)
        figures = {"files": found.files, "small files": found.small, "bytes": found.bytes, "version": found.version}
        context.log_event(
            dg.AssetObservation(
                asset_key(spec.full_name),
                description="maintenance",
                metadata={**figures, "log cut": may_forget, "files compacted": removed, "files deleted": deleted},
            )
        )


@dg.op(description="Deletes finished runs and their events after two weeks")
def forget_runs(context: dg.OpExecutionContext) -> None:
    """Bounds Dagster's own database: a stream's supervisor alone logs thousands of events a day."""
    wanted = dg.RunsFilter(statuses=_FINISHED, created_before=datetime.now(UTC) - KEEP_RUNS)
    records = context.instance.get_run_records(wanted, limit=_RUNS_AT_ONCE)
    for record in records:
        context.instance.delete_run(record.dagster_run.run_id)
    context.log.info(f"{len(records)} runs forgotten")


@dg.job(
    description="Keeps the lake and Dagster's records small; safe while the streams run",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": "3600", "dagster/max_retries": "0"},
)
def lake_maintenance() -> None:
    """Both chores."""
    maintain_lake()
    forget_runs()


def definitions() -> dg.Definitions:
    """The job, every hour."""
    schedule = dg.ScheduleDefinition(
        name="lake_maintenance_hourly",
        job=lake_maintenance,
        cron_schedule="17 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    return dg.Definitions(jobs=[lake_maintenance], schedules=[schedule])

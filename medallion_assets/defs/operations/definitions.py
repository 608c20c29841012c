"""Two sensors: one for runs that fail, one for blocking checks."""

from collections.abc import Sequence

import dagster as dg

from medallion_assets.defs.operations.raising import (
    check_key,
    check_page,
    failed_check,
    failed_run,
    raise_alert,
    resolve,
)
from medallion_assets.platform import Platform

CHECK_FAILED = "DagsterAssetCheckFailedError"
_AT_ONCE = 500


def error_texts(event: dg.DagsterEvent, steps: Sequence[dg.DagsterEvent]) -> list[str]:
    """What a run's failure and its steps' failures say, causes first."""
    texts = []
    for step in steps:
        error = getattr(step.event_specific_data, "error", None)
        while error is not None:
            texts.append(f"{error.cls_name}: {error.message}".strip())
            error = error.cause
    texts.reverse()
    error = getattr(event.event_specific_data, "error", None)
    if error is not None:
        texts.append(error.message.strip())
    return [*texts, event.message or ""]


@dg.run_failure_sensor(
    name="failed_runs",
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,
    description="Raises an operations alert for a failed run, with its cause and the page that helps",
)
def failed_runs(context: dg.RunFailureSensorContext, platform: dg.ResourceParam[Platform]) -> dg.SkipReason:
    """One alert a job and cause. A run that failed by its checks is told of by the other sensor."""
    texts = error_texts(context.failure_event, context.get_step_failure_events())
    run = context.dagster_run
    if any(CHECK_FAILED in text for text in texts):
        return dg.SkipReason(f"run {run.run_id} failed by its checks")
    alert = failed_run(run.job_name, run.run_id, texts)
    fresh = raise_alert(platform, alert)
    return dg.SkipReason(f"{'raised' if fresh else 'counted'}: {alert.key}")


def look_at_checks(instance: dg.DagsterInstance, platform: Platform, cursor: int | None) -> tuple[int | None, str]:
    """Raise what failed, resolve what passes again, since the event `cursor`; returns the new cursor and what was done.

    Without a cursor, at the first tick, only the newest evaluations are read.
    """
    records = instance.get_event_records(
        dg.EventRecordsFilter(event_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION, after_cursor=cursor),
        limit=_AT_ONCE,
        ascending=cursor is not None,
    )
    newest = {}
    for record in sorted(records, key=lambda each: each.storage_id):
        event = record.event_log_entry.dagster_event
        evaluation = event.asset_check_evaluation_data if event else None
        if evaluation is not None:
            newest[evaluation.asset_check_key] = evaluation
    raised = counted = resolved = 0
    for key, evaluation in newest.items():
        asset = ".".join(key.asset_key.path)
        if evaluation.passed:
            resolved += resolve(platform, check_key(asset, key.name))
        elif evaluation.blocking and evaluation.severity is dg.AssetCheckSeverity.ERROR:
            said = evaluation.description or ", ".join(f"{n}: {v.value}" for n, v in evaluation.metadata.items())
            fresh = raise_alert(platform, failed_check(asset, key.name, said, check_page(key.name)))
            raised, counted = raised + fresh, counted + (not fresh)
    last = max((record.storage_id for record in records), default=cursor)
    return last, f"{len(records)} evaluations: {raised} raised, {counted} counted, {resolved} resolved"


@dg.sensor(
    name="failed_checks",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Raises an operations alert for each blocking check that fails, and resolves it when it passes again",
)
def failed_checks(
    context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]
) -> dg.SensorResult | dg.SkipReason:
    """The cursor is the last event that was read."""
    cursor = int(context.cursor) if context.cursor else None
    last, said = look_at_checks(context.instance, platform, cursor)
    if last is not None:
        context.update_cursor(str(last))
    return dg.SkipReason(said)


def definitions() -> dg.Definitions:
    """The sensors."""
    return dg.Definitions(sensors=[failed_runs, failed_checks])

"""Guard sensors, one per Spark application: they look, decide, and say why on every tick."""

import dataclasses
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import psutil

from fraud_domain.streams import Application
from medallion_assets.defs.streams.control import beats, desired_state
from medallion_assets.defs.streams.decide import Beat, Decision, Kind, Limits, RunInFlight, decide, in_turn
from medallion_assets.defs.streams.supervisor import GENERATION_TAG, WHY_TAG, job_name
from medallion_assets.platform import Platform

IN_FLIGHT = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
_HISTORY = 20
_LOOK_SECONDS = 4
"""Dagster's daemon comes by every five seconds: a dead driver is seen the first time."""
_GOOD_AFTER = timedelta(minutes=10)
"""A run that lived this long was a good one, however it ended: failures are counted after it."""


def runs_in_flight(instance: dg.DagsterInstance, job: str) -> list[RunInFlight]:
    """Runs of the job that have not ended, newest first."""
    records = instance.get_run_records(dg.RunsFilter(job_name=job, statuses=list(IN_FLIGHT)))
    return [
        RunInFlight(
            r.dagster_run.run_id,
            r.dagster_run.status.value,
            r.create_timestamp.replace(tzinfo=UTC),
            int(r.dagster_run.tags.get(GENERATION_TAG, "0")),
        )
        for r in records
    ]


def recent_failures(instance: dg.DagsterInstance, job: str) -> list[datetime]:
    """End times of the failed runs since the last good or cancelled one, newest first; from storage, so it
    survives every restart."""
    failures: list[datetime] = []
    for record in instance.get_run_records(dg.RunsFilter(job_name=job), limit=_HISTORY):
        if record.dagster_run.status in IN_FLIGHT:
            continue
        if record.dagster_run.status is not dg.DagsterRunStatus.FAILURE:
            break
        ended = record.end_time or record.update_timestamp.replace(tzinfo=UTC).timestamp()
        if record.start_time and ended - record.start_time > _GOOD_AFTER.total_seconds():
            failures.append(datetime.fromtimestamp(ended, UTC))
            break
        failures.append(datetime.fromtimestamp(ended, UTC))
    return failures


def with_process(beat: Beat, clocks_differ: timedelta) -> Beat:
    """The beat, and whether its process has ended, as far as this host can tell.

    Args:
        beat: of any host.
        clocks_differ: by how much at most the database's clock, which the beat carries, may be behind this one. A
            process made later than that has only the same number.
    """
    if beat.host != socket.gethostname():
        return beat
    try:
        gone = psutil.Process(beat.pid).create_time() > (beat.at + clocks_differ).timestamp()
    except psutil.NoSuchProcess:
        gone = True
    return dataclasses.replace(beat, gone=gone)


def look_and_decide(
    instance: dg.DagsterInstance, platform: Platform, application: Application, now: datetime
) -> tuple[Decision, int]:
    """The decision for an application, and the generation wanted."""
    job = job_name(application)
    with platform.database("fraud_writer") as connection:
        desired = desired_state(connection, application.name)
        last = beats(connection, application.stream_names)
    limits = Limits(stale_after=timedelta(seconds=platform.settings.streams.stale_after_seconds))
    last = [with_process(beat, limits.stale_after) for beat in last]
    runs = runs_in_flight(instance, job)
    failures = recent_failures(instance, job)
    return decide(now, desired, runs, last, failures, limits), desired.generation


def fail_run(instance: dg.DagsterInstance, run_id: str, reason: str) -> None:
    """End a run whose worker or driver is gone.

    `report_run_failed` is not public API; this is the one place that uses it.
    """
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return
    try:
        instance.run_coordinator.cancel_run(run_id)
    finally:
        # Whatever became of the worker, a run that stays STARTED would block its successor for ever.
        instance.report_run_failed(run, message=f"guard: {reason}")


def guard_sensor(
    application: Application, job: dg.JobDefinition, first: Application | None = None
) -> dg.SensorDefinition:
    """The sensor that keeps an application as people want it; it starts after `first`."""

    @dg.sensor(
        name=f"{application.name}_streams_guard",
        job=job,
        minimum_interval_seconds=_LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Starts, watches, restarts and stops the streams {', '.join(application.stream_names)}",
    )
    def guard(
        context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        now = datetime.now(UTC)
        decision, generation = look_and_decide(context.instance, platform, application, now)
        if decision.kind is Kind.START and first is not None:
            ahead, _ = look_and_decide(context.instance, platform, first, now)
            decision = in_turn(decision, ahead, first.name)
        if decision.kind is Kind.START:
            yield dg.RunRequest(tags={WHY_TAG: decision.reason, GENERATION_TAG: str(generation)})
            return
        if decision.kind is Kind.STOP and decision.run_id:
            context.instance.run_coordinator.cancel_run(decision.run_id)
        if decision.kind is Kind.FAIL_ZOMBIE and decision.run_id:
            fail_run(context.instance, decision.run_id, decision.reason)
        yield dg.SkipReason(f"{decision.kind.value}: {decision.reason}")

    return guard

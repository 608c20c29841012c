"""The run that owns a Spark application: starts the driver, watches it, stops it cleanly."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import psutil
import psycopg
from dagster._core.errors import DagsterExecutionInterruptedError

from fraud_domain.settings import PROJECT_ROOT, AlertLane, Settings
from fraud_domain.streams import Application
from medallion_assets.defs.streams.control import beats, mark_ended
from medallion_assets.platform import Platform

STREAM_TAG, GENERATION_TAG, WHY_TAG = "fraud/stream", "fraud/generation", "fraud/why"
_LOG_LIMIT_BYTES = 20_000_000
_TAIL_LINES = 25


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. `start` covers JVM start and first batch, `stop` what a driver may take to end cleanly."""

    poll: float = 0.25
    look: float = 10.0
    start: float = 150.0
    stop: float = 45.0


PATIENCE = Patience()


def job_name(application: Application) -> str:
    """Name of the supervisor job."""
    return f"run_{application.name}_streams"


def supervisor_job(application: Application) -> dg.JobDefinition:
    """The job whose run is the life of the application's driver."""

    @dg.op(name=f"{application.name}_driver", description=f"Runs {', '.join(application.stream_names)} until stopped")
    def supervise(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
        try:
            run_driver(context, platform, application, command(application, platform.settings.streams.alert_lane))
        finally:
            # A database that is away hears it from the heartbeat's age instead.
            with contextlib.suppress(psycopg.OperationalError), platform.database("fraud_writer") as connection:
                mark_ended(connection, context.run_id)

    @dg.job(
        name=job_name(application),
        description=f"Streams {', '.join(application.stream_names)} in one Spark application; started by its guard",
        executor_def=dg.in_process_executor,
        tags={STREAM_TAG: application.name, "dagster/max_retries": "0"},
    )
    def job() -> None:
        supervise()

    return job


def command(application: Application, lane: AlertLane) -> list[str]:
    """The driver's command line; it holds no secret. The lake yields to the alert lane where they share cores."""
    jobs = PROJECT_ROOT / "spark_jobs"
    yielding = [] if "alerts" in application.stream_names else ["nice", "-n", "10"]
    if len(application.streams) == 1:
        return [*yielding, sys.executable, str(jobs / application.streams[0].script_of(lane))]
    return [*yielding, sys.executable, str(jobs / "streaming_application.py"), *application.stream_names]


def environment(application: Application, run_id: str) -> dict[str, str]:
    """The driver's environment: ours, and whom it belongs to."""
    me = psutil.Process()
    return os.environ | {
        "MEDALLION_SUPERVISOR": f"{me.pid}:{me.create_time()}",
        "MEDALLION_APPLICATION": application.name,
        "MEDALLION_RUN_ID": run_id,
    }


def run_driver(
    context: dg.OpExecutionContext,
    platform: Platform,
    application: Application,
    argv: Sequence[str],
    patience: Patience = PATIENCE,
) -> None:
    """Start `argv` as the application's driver and return when it ended as asked.

    Raises:
        dg.Failure: it failed, or hung and was killed.
    """
    log = log_path(platform.settings, application)
    with driver_process(context, application, argv, log, patience) as driver:
        context.log.info(f"driver pid {driver.pid}, log {log}")
        started = last_look = time.monotonic()
        while driver.poll() is None:
            time.sleep(patience.poll)
            if time.monotonic() - last_look > patience.look:
                last_look = time.monotonic()
                _keep_small(log)
                if time.monotonic() - started > patience.start:
                    _require_beat(platform, application, context.run_id)
    if driver.returncode == 0:
        context.log.info("driver ended as asked")
        return
    raise dg.Failure(
        f"driver of {application.name} ended with exit code {driver.returncode}: {_last_words(log)}",
        metadata={"log": dg.MetadataValue.path(str(log)), "tail": dg.MetadataValue.md(f"```\n{tail(log)}\n```")},
        allow_retries=False,
    )


@contextmanager
def driver_process(
    context: dg.OpExecutionContext,
    application: Application,
    argv: Sequence[str],
    log: Path,
    patience: Patience = PATIENCE,
) -> Iterator[subprocess.Popen[bytes]]:
    """The driver process; on the way out, whatever the reason, it is stopped and gone."""
    log.parent.mkdir(parents=True, exist_ok=True)
    _keep_small(log)
    with log.open("ab") as output:
        driver = subprocess.Popen(
            argv,
            env=environment(application, context.run_id),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd=PROJECT_ROOT,
        )
    try:
        yield driver
    except DagsterExecutionInterruptedError:
        context.log.info("asked to stop: stopping the driver")
        raise
    finally:
        stop(driver, patience.stop)


def stop(driver: "subprocess.Popen[bytes]", grace: float) -> None:
    """End the driver: a signal to Python first, so that queries stop cleanly, then its whole group."""
    if driver.poll() is None:
        driver.send_signal(signal.SIGTERM)
        try:
            driver.wait(grace)
        except subprocess.TimeoutExpired:
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()


def _require_beat(platform: Platform, application: Application, run_id: str) -> None:
    """Fail when a stream has stopped beating: hung, not dead.

    A database that is away is no proof of that, so it is waited out.
    """
    limit = platform.settings.streams.stale_after_seconds
    try:
        with platform.database("fraud_writer") as connection:
            found = [b for b in beats(connection, application.stream_names) if b.run_id == run_id]
    except psycopg.OperationalError:
        return
    silent = [b for b in found if (datetime.now(UTC) - b.at).total_seconds() > limit]
    if silent or not found:
        names = ", ".join(b.stream for b in silent) or application.name
        raise dg.Failure(f"no heartbeat of {names} for over {limit:.0f} s: hung; killed", allow_retries=False)


def log_path(settings: Settings, application: Application) -> Path:
    """The driver's own log: Dagster's log of a process would grow without bound."""
    return settings.log_dir / f"streams-{application.name}.log"


def _keep_small(log: Path) -> None:
    """Put a grown log aside by copying it, because its driver goes on writing; Spark's Python says five lines a batch.

    Lines that come between copying and emptying are lost.
    """
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """Last lines of a log."""
    with log.open("rb") as handle:
        handle.seek(0, os.SEEK_END)
        handle.seek(max(0, handle.tell() - 20_000))
        return "\n".join(handle.read().decode("utf-8", "replace").splitlines()[-lines:])


def _last_words(log: Path) -> str:
    """The last line that the driver itself wrote (they start with a time and `Z `)."""
    said = [line for line in tail(log, 400).splitlines() if line[:4].isdigit() and "Z " in line[:24]]
    return said[-1].split("Z ", 1)[1] if said else "see its log"

"""The job `control_streams`: stop, start or restart streams from Dagster, as `medallion streams` does."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

import dagster as dg
from pydantic import Field

from fraud_domain.streams import ALL, applications_called
from medallion_assets.defs.streams.control import want
from medallion_assets.platform import Platform


class Action(StrEnum):
    """What is asked for."""

    STOP = "stop"
    START = "start"
    RESTART = "restart"


class ControlStreams(dg.Config):
    """What to do with which streams, and why."""

    action: Action = Field(description="A restart also closes an open circuit")
    application: str = Field(default=ALL, description="A stream, an application, or all")
    reason: str = Field(description="Shown on every tick of the guard")
    minutes: int | None = Field(
        default=None, gt=0, description="Of a stop: start again by itself after so many minutes"
    )


@dg.op(description="Writes down what is wanted; the guards act at their next tick")
def say_what_is_wanted(
    context: dg.OpExecutionContext, config: ControlStreams, platform: dg.ResourceParam[Platform]
) -> None:
    """Record the wish under the name of the run."""
    until = datetime.now(UTC) + timedelta(minutes=config.minutes) if config.minutes else None
    running = config.action is not Action.STOP
    try:
        names = applications_called(platform.settings.streams.layout, config.application)
    except LookupError as error:
        raise dg.Failure(str(error.args[0]), allow_retries=False) from error
    with platform.database("fraud_writer") as connection:
        for name in names:
            want(connection, name, running, config.reason, f"run {context.run_id}", until)
            context.log.info(f"{name}: {config.action.value} asked for")


@dg.job(description="Stop, start or restart streams; a stop may end by itself", executor_def=dg.in_process_executor)
def control_streams() -> None:
    """Say what is wanted of streams."""
    say_what_is_wanted()

"""The smallest code location with a sensor, for tests of the processes around it."""

import dagster as dg


@dg.asset
def nothing() -> None:
    """An asset that does nothing."""


@dg.sensor(target=[nothing], minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def idle() -> dg.SkipReason:
    """A sensor that ticks."""
    return dg.SkipReason("nothing to do")


defs = dg.Definitions(assets=[nothing], sensors=[idle])

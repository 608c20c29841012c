"""Supervisor jobs, their guards, and the observer."""

import dagster as dg

from fraud_domain.settings import Settings
from fraud_domain.streams import applications
from medallion_assets.defs.streams.control_job import control_streams
from medallion_assets.defs.streams.guard import guard_sensor
from medallion_assets.defs.streams.observer import table_observer
from medallion_assets.defs.streams.supervisor import supervisor_job


def definitions(settings: Settings) -> dg.Definitions:
    """One job and one guard per Spark application of the layout, and one observer."""
    jobs = {application: supervisor_job(application) for application in applications(settings.streams.layout)}
    alerts = next(application for application in jobs if "alerts" in application.stream_names)
    guards = [guard_sensor(a, job, None if a is alerts else alerts) for a, job in jobs.items()]
    return dg.Definitions(jobs=[*jobs.values(), control_streams], sensors=[*guards, table_observer])

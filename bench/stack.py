"""A throw-away database and broker for a measurement, with Spark's environment set for this process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fraud_domain.settings import Settings
from medallion_services.embedded import jars, kafka, postgres
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.java import find_java
from medallion_services.embedded.spark_conf import write_spark_conf
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.throwaway import fresh_settings, running


@contextmanager
def servers(**streams: Any) -> Iterator[Settings]:
    """PostgreSQL and Kafka, running and prepared."""
    with fresh_settings(streams=streams) as settings:
        java = find_java(settings)
        jars.fetch(settings, java)
        write_spark_conf(settings)
        os.environ.update(stack_environment(settings, java_home=java.home))
        with running(settings, postgres.component(settings), kafka.component(settings, java)):
            prepare_database(settings)
            yield settings

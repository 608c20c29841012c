"""A throw-away database and broker for a measurement, with Spark's environment, and the drivers that run on them."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_services.embedded import jars, kafka, postgres
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.java import Java, find_java
from medallion_services.embedded.processes import alive, end_all, tree
from medallion_services.embedded.spark_conf import write_spark_conf
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.throwaway import fresh_settings, running


def spark_environment(settings: Settings) -> Java:
    """Spark's jars and configuration for these settings, and this process's environment for it; gives its Java."""
    java = find_java(settings)
    jars.fetch(settings, java)
    write_spark_conf(settings)
    os.environ.update(stack_environment(settings, java_home=java.home))
    return java


@contextmanager
def servers(**streams: Any) -> Iterator[Settings]:
    """PostgreSQL and Kafka, running and prepared."""
    with fresh_settings(streams=streams) as settings:
        java = spark_environment(settings)
        with running(settings, postgres.component(settings), kafka.component(settings, java)):
            prepare_database(settings)
            yield settings


@contextmanager
def driver(settings: Settings, name: str, argv: list[str]) -> Iterator[int]:
    """A process that runs for the length of the block, as Dagster would start it; gives its pid.

    Raises:
        RuntimeError: it ended by itself; with its last words.
    """
    environment = stack_environment(settings, java_home=find_java(settings).home) | {"MEDALLION_APPLICATION": name}
    settings.log_dir.mkdir(parents=True, exist_ok=True)
    with (settings.log_dir / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(argv, env=environment, cwd=PROJECT_ROOT, stdout=log, stderr=log)
    try:
        yield process.pid
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended: {(settings.log_dir / f'{name}.log').read_text('utf-8')[-2000:]}")
    finally:
        members = tree(process.pid)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        end_all(alive(members), 10.0)

"""A throw-away database and broker for a measurement, on free ports and a directory of their own."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fraud_domain.settings import Settings
from medallion_services.embedded import jars, kafka, postgres
from medallion_services.embedded.environment import instance_id, stack_environment
from medallion_services.embedded.java import find_java
from medallion_services.embedded.ports import free_ports
from medallion_services.embedded.processes import end_marked
from medallion_services.embedded.secrets import ensure_secrets
from medallion_services.embedded.spark_conf import write_spark_conf
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.supervisor import Supervisor


class Quiet:
    """A reporter that says nothing."""

    def starting(self, name: str) -> None: ...
    def ready(self, name: str, seconds: float) -> None: ...
    def died(self, name: str, code: int | None, delay: float, log: Path) -> None: ...
    def stopping(self, name: str) -> None: ...


@contextmanager
def servers(**streams: Any) -> Iterator[Settings]:
    """PostgreSQL and Kafka running, Spark's environment set for this process."""
    data_dir = Path(tempfile.mkdtemp(prefix="medallion-bench-")).resolve()
    data_dir.chmod(0o711)
    broker, controller, database, web, code, ui = free_ports(6)
    settings = Settings.model_validate(
        {
            "data_dir": data_dir,
            "kafka": {"port": broker, "controller_port": controller},
            "postgres": {"port": database},
            "dagster": {"port": web, "code_port": code},
            "spark": {"ui_port": ui},
            "streams": streams,
        }
    )
    for directory in (settings.run_dir, settings.log_dir):
        directory.mkdir()
    ensure_secrets(settings)
    java = find_java(settings)
    jars.fetch(settings, java)
    write_spark_conf(settings)
    os.environ.update(stack_environment(settings, java_home=java.home))
    stages = ((postgres.component(settings),), (kafka.component(settings, java),))
    supervisor = Supervisor(stages, settings.log_dir, Quiet())
    try:
        supervisor.start()
        prepare_database(settings)
        yield settings
    finally:
        supervisor.stop()
        end_marked(instance_id(settings), grace=10)
        shutil.rmtree(data_dir, ignore_errors=True)

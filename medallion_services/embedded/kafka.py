"""The embedded Kafka: one KRaft node, broker and controller in one, on loopback only.

It runs from its own locked jars, never beside Spark's older client.
"""

import base64
import os
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from fraud_domain.settings import Settings
from medallion_services.embedded.component import Component
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.jars import jar_paths
from medallion_services.embedded.java import Java
from medallion_services.embedded.kafka_topics import answers, create_topics
from medallion_services.embedded.ports import LOOPBACK, PortClaim
from medallion_services.errors import UserError

NAME = "kafka"

_LOG4J = """\
Configuration:
  status: warn
  Appenders:
    Console:
      name: out
      target: SYSTEM_OUT
      PatternLayout:
        pattern: "%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %p %c{1}: %m%n%ex"
  Loggers:
    Root:
      level: warn
      AppenderRef:
        ref: out
    Logger:
      - name: kafka.server.KafkaRaftServer
        level: info
      - name: org.apache.kafka.common.utils.AppInfoParser
        level: info
"""


def server_properties(settings: Settings) -> dict[str, str]:
    """Configuration of the node: replication of one, nothing reachable from outside."""
    kafka = settings.kafka
    return {
        "node.id": "1",
        "process.roles": "broker,controller",
        "controller.quorum.voters": f"1@{LOOPBACK}:{kafka.controller_port}",
        "listeners": f"BROKER://{LOOPBACK}:{kafka.port},CONTROLLER://{LOOPBACK}:{kafka.controller_port}",
        "advertised.listeners": f"BROKER://{LOOPBACK}:{kafka.port}",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "BROKER",
        "log.dirs": str(settings.data_dir / NAME / "logs"),
        "auto.create.topics.enable": "false",
        "num.partitions": str(kafka.partitions),
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "controlled.shutdown.enable": "true",
    }


def cluster_id(directory: Path) -> str:
    """The cluster's id, made once: storage formatted under another one is refused by Kafka."""
    path = directory / "cluster-id"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="), encoding="utf-8")
        temporary.replace(path)
    return path.read_text(encoding="utf-8").strip()


def _write_configuration(settings: Settings) -> Path:
    directory = settings.run_dir / NAME
    directory.mkdir(parents=True, exist_ok=True)
    properties = directory / "server.properties"
    lines = (f"{name}={value}\n" for name, value in server_properties(settings).items())
    properties.write_text("".join(lines), encoding="utf-8")
    (directory / "log4j2.yaml").write_text(_LOG4J, encoding="utf-8")
    return properties


def format_storage(settings: Settings, java: Java, environment: Mapping[str, str]) -> None:
    """Prepare the log directory once; an existing one is left as it is.

    Raises:
        UserError: the tool refuses.
    """
    directory = settings.data_dir / NAME
    properties = _write_configuration(settings)
    if (directory / "logs" / "meta.properties").exists():
        return
    command = [str(java.executable), "kafka.tools.StorageTool", "format", "--ignore-formatted"]
    # With a blank between, an id that begins with a dash would be read as an option.
    command += [f"--cluster-id={cluster_id(directory)}", "--config", str(properties)]
    answer = subprocess.run(
        command, env=dict(environment), cwd=directory, capture_output=True, text=True, check=False, timeout=120
    )
    if answer.returncode:
        said = (answer.stderr or answer.stdout)[-800:]
        raise UserError(f"Kafka's storage could not be prepared in {directory}: {said}")


def component(settings: Settings, java: Java) -> Component:
    """The embedded broker as a component; its jars must have been fetched."""
    run = settings.run_dir / NAME
    classpath = os.pathsep.join(map(str, jar_paths(settings, NAME)))
    environment = stack_environment(settings, java_home=java.home) | {"CLASSPATH": classpath}
    heap = settings.kafka.heap_mb
    return Component(
        name=NAME,
        command=(
            str(java.executable),
            f"-Xms{min(heap, 128)}m",
            f"-Xmx{heap}m",
            "-XX:+UseG1GC",
            "-XX:MaxGCPauseMillis=20",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            "-Duser.timezone=UTC",
            f"-Dlog4j2.configurationFile={run / 'log4j2.yaml'}",
            "kafka.Kafka",
            str(run / "server.properties"),
        ),
        environment=environment,
        cwd=settings.data_dir,
        is_ready=lambda: answers(settings),
        ports=(
            PortClaim(settings.kafka.port, "MEDALLION_KAFKA__PORT"),
            PortClaim(settings.kafka.controller_port, "MEDALLION_KAFKA__CONTROLLER_PORT"),
        ),
        prepare=lambda: format_storage(settings, java, environment),
        once_ready=lambda: create_topics(settings),
        stop_grace=30.0,
    )

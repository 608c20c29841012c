"""A Spark cluster of one's own: PySpark's own master and workers on loopback, with a secret, surviving their master."""

import secrets
from pathlib import Path

import pyspark

from fraud_domain.settings import Settings
from medallion_services.embedded.component import Component
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.java import Java
from medallion_services.embedded.ports import LOOPBACK, PortClaim, accepts, free_ports
from medallion_services.embedded.spark_conf import render

_CLASS = "org.apache.spark.deploy"
_SPARK_CLASS = Path(pyspark.__file__).parent / "bin" / "spark-class"


def write_cluster_conf(settings: Settings) -> Path:
    """Secret and configuration of master and workers; applications know the secret from `spark_auth`."""
    secret = settings.secrets_dir / "spark_auth"
    secret.touch(mode=0o600)
    secret.write_text(secrets.token_urlsafe(32))
    directory = settings.run_dir / "cluster-conf"
    directory.mkdir()
    conf = directory / "spark-defaults.conf"
    conf.touch(mode=0o600)
    properties = {
        "spark.authenticate": "true",
        "spark.authenticate.secret": settings.secret("spark_auth"),
        "spark.network.crypto.enabled": "true",
        # A new master finds workers and applications of the old one.
        "spark.deploy.recoveryMode": "FILESYSTEM",
        "spark.deploy.recoveryDirectory": str(settings.run_dir / "cluster-recovery"),
        "spark.worker.timeout": "20",
    }
    conf.write_text(render(properties))
    return directory


def _environment(settings: Settings, java: Java) -> dict[str, str]:
    return stack_environment(settings, java_home=java.home) | {
        "SPARK_CONF_DIR": str(settings.run_dir / "cluster-conf"),
        "SPARK_LOCAL_IP": LOOPBACK,
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_WORKER_DIR": str(settings.run_dir / "cluster-work"),
    }


def master(settings: Settings, java: Java) -> Component:
    """The master that `spark.master` names."""
    port = int(settings.spark.master.rpartition(":")[2])
    arguments = ("--host", LOOPBACK, "--port", str(port), "--webui-port", str(free_ports(1)[0]))
    return Component(
        name="spark-master",
        command=(str(_SPARK_CLASS), f"{_CLASS}.master.Master", *arguments),
        environment=_environment(settings, java),
        cwd=settings.data_dir,
        is_ready=lambda: accepts(port),
        ports=(PortClaim(port, "MEDALLION_SPARK__MASTER"),),
    )


def worker(settings: Settings, java: Java, number: int) -> Component:
    """A worker with one core."""
    port, web = free_ports(2)
    arguments = ("--host", LOOPBACK, "--port", str(port), "--webui-port", str(web), "--cores", "1", "--memory", "1g")
    return Component(
        name=f"spark-worker-{number}",
        command=(str(_SPARK_CLASS), f"{_CLASS}.worker.Worker", *arguments, settings.spark.master),
        environment=_environment(settings, java),
        cwd=settings.data_dir,
        is_ready=lambda: accepts(port),
        ports=(PortClaim(port, "of the test"),),
    )

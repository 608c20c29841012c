"""Spark's configuration: complete, local where it may be, and without secrets."""

import re
from pathlib import Path

import pytest

from fraud_domain.object_store import is_local
from fraud_domain.settings import Settings
from medallion_services.embedded.secrets import ensure_secrets
from medallion_services.embedded.spark_conf import spark_defaults, write_spark_conf

JARS = (Path("/jars/delta.jar"), Path("/jars/hadoop-bare-naked-local-fs-0.1.0.jar"))
MANAGER = "spark.sql.streaming.checkpointFileManagerClass"


def test_file_system_jar_is_there_before_spark_jars_is() -> None:
    properties = spark_defaults(Settings(), JARS)
    assert properties["spark.driver.extraClassPath"] == str(JARS[1])
    assert properties["spark.executor.extraClassPath"] == str(JARS[1])
    assert properties["spark.jars"] == "/jars/delta.jar,/jars/hadoop-bare-naked-local-fs-0.1.0.jar"


@pytest.mark.parametrize(("uri", "local"), [("", True), ("file:///x", True), ("s3a://bucket/checkpoints", False)])
def test_local_checkpoint_manager_is_for_local_checkpoints_only(uri: str, local: bool) -> None:
    assert (MANAGER in spark_defaults(Settings(checkpoint_uri=uri), JARS)) is local


def test_cluster_driver_is_not_bound_to_loopback(tmp_path: Path) -> None:
    cluster = Settings(data_dir=tmp_path, spark={"master": "spark://host:7077"})
    cluster.secrets_dir.mkdir()
    (cluster.secrets_dir / "spark_auth").write_text("the-clusters-own")
    assert "spark.driver.bindAddress" not in spark_defaults(cluster, JARS)
    assert spark_defaults(Settings(), JARS)["spark.driver.bindAddress"] == "127.0.0.1"


def test_no_secret_is_written(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    ensure_secrets(settings)
    directory = write_spark_conf(settings)
    text = "".join(path.read_text() for path in directory.iterdir())
    for secret in settings.secrets_dir.iterdir():
        assert secret.read_text().strip() not in text


@pytest.mark.parametrize("name", ["spark.PASSWORD", "my.token", "pg.dsn", "kafka.sasl.jaas.config"])
def test_secret_looking_properties_are_redacted(name: str) -> None:
    assert re.search(spark_defaults(Settings(), JARS)["spark.redaction.regex"], name)


@pytest.mark.parametrize(("uri", "local"), [("/data", True), ("s3a://b/x", False)])
def test_local_means_this_machine(uri: str, local: bool) -> None:
    assert is_local(uri) is local

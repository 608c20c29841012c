"""What every test run needs: ordinary signals, and one Spark session configured by the product's generated files."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from fraud_domain.settings import Settings
from medallion_assets_tests.signals import heed_signals
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.jars import fetch
from medallion_services.embedded.java import find_java
from medallion_services.embedded.spark_conf import write_spark_conf


def pytest_configure() -> None:
    """Before any test starts a process."""
    heed_signals()


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A local session with the locked jars."""
    settings = Settings(data_dir=Path(tmp_path_factory.mktemp("spark")), spark={"ui_port": 4949})
    java = find_java(settings)
    fetch(settings, java)
    write_spark_conf(settings)
    before = dict(os.environ)
    os.environ.update(stack_environment(settings, java_home=java.home))
    session = SparkSession.builder.appName("tests").config("spark.driver.maxResultSize", "64m").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
    os.environ.clear()
    os.environ.update(before)

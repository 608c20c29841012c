"""An object store with Spark's configuration for it; without a server the lane is skipped, and says why."""

from collections.abc import Iterator

import pytest

from fraud_domain.settings import Settings
from medallion_assets_tests import object_store
from medallion_services.embedded import jars
from medallion_services.embedded.java import Java, find_java
from medallion_services.embedded.spark_conf import write_spark_conf
from medallion_services.embedded.throwaway import running


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[Settings, Java]]:
    """Settings whose store runs and has an empty bucket."""
    with object_store.s3_settings(spark={"master": "local[2]", "driver_memory": "700m"}) as settings:
        server = object_store.program(settings)
        if server is None:
            pytest.skip(object_store.BUILD)
        with running(settings, object_store.component(settings, server)):
            java = find_java(settings)
            jars.fetch(settings, java)
            write_spark_conf(settings)
            yield settings, java

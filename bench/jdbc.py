"""JDBC as the design before used it; only the arms of a comparison have the driver."""

from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql.readwriter import DataFrameWriter

from fraud_domain.settings import Settings
from medallion_services.database.prepare import ADMIN
from medallion_services.embedded.ivy import Coordinate, retrieve
from medallion_services.embedded.jars import spark_jars
from medallion_services.embedded.java import find_java

_DRIVER = Coordinate("org.postgresql", "postgresql", "42.7.7")
_BATCH = 10_000


def driver(settings: Settings) -> str:
    """The value of `spark.jars`: the platform's and the driver, which is fetched."""
    scratch = settings.data_dir / "jdbc"
    found = retrieve(
        [_DRIVER], scratch, java=find_java(settings), cache=scratch / "ivy", transitive=False,
        ivy_settings=settings.ivy_settings,
    )  # fmt: skip
    return ",".join(map(str, (*spark_jars(settings), found[_DRIVER])))


def options(settings: Settings) -> Callable[[DataFrame, str], DataFrameWriter]:
    """Makes a writer of a frame to a table of the platform's database."""
    server, name = f"{settings.postgres_host}:{settings.postgres.port}", settings.postgres.database
    known = {
        "url": f"jdbc:postgresql://{server}/{name}",
        "user": ADMIN,
        "password": settings.secret(ADMIN),
        "driver": "org.postgresql.Driver",
        "batchsize": str(_BATCH),
    }
    return lambda rows, table: rows.write.format("jdbc").options(**known, dbtable=table)

"""What `medallion up` writes before its first process, for containers: Dagster's home and Spark's configuration.

Runs in the one-shot service `prepare`, after `medallion database prepare` and `medallion topics create`.
"""

from fraud_domain.settings import Settings
from medallion_services.embedded.dagster_processes import write_home
from medallion_services.embedded.spark_conf import write_spark_conf
from medallion_services.embedded.up import make_directories

if __name__ == "__main__":
    settings = Settings()
    make_directories(settings)
    write_home(settings)
    write_spark_conf(settings)

"""What `medallion up` writes before its first process, for containers: Dagster's home and Spark's configuration.

Runs in the one-shot service `prepare`, after `medallion database prepare` and `medallion topics create`. Its argument
is a directory with one volume for each server of others; each finds there the secrets that it needs, and no other.
"""

import sys
from pathlib import Path
from urllib.parse import urlsplit

from fraud_domain.object_store import credentials, credentials_file
from fraud_domain.settings import Settings
from medallion_services.embedded.dagster_processes import write_home
from medallion_services.embedded.secrets import write_once
from medallion_services.embedded.spark_conf import cluster_properties, on_cluster, render, write_spark_conf
from medallion_services.embedded.up import make_directories

STORE = "minio"
"""The service whose keys are made here; an object store of somebody else has keys already."""


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")


def write_cluster_conf(settings: Settings) -> None:
    """The configuration of master and workers; they know applications by the secret that those have."""
    directory = settings.run_dir / "cluster-conf"
    directory.mkdir(exist_ok=True)
    (settings.run_dir / "cluster-recovery").mkdir(exist_ok=True)
    known = ("spark.authenticate", "spark.authenticate.secret", "spark.network.crypto.enabled")
    properties = {name: cluster_properties(settings)[name] for name in known} | {
        "spark.deploy.recoveryMode": "FILESYSTEM",
        "spark.deploy.recoveryDirectory": str(settings.run_dir / "cluster-recovery"),
    }
    write_private(directory / "spark-defaults.conf", render(properties))


def store_keys(settings: Settings) -> tuple[str, str]:
    """Keys of the object store: made once, in the file that Spark and readers take them from."""
    user, password = settings.secrets_dir / "minio_root_user", settings.secrets_dir / "minio_root_password"
    write_once(user)
    write_once(password)
    if not credentials_file(settings).exists():
        pair = (user.read_text().strip(), password.read_text().strip())
        keys = f"aws_access_key_id = {pair[0]}\naws_secret_access_key = {pair[1]}"
        write_private(credentials_file(settings), f"[default]\n{keys}\n")
    found = credentials(settings)
    return found.key_id, found.secret_key


def hand_over(settings: Settings, volumes: Path) -> None:
    """Give Grafana and MinIO what is theirs."""
    write_once(settings.secrets_dir / "grafana_admin")
    for name in ("grafana_admin", "postgres_fraud_reader"):
        write_private(volumes / "grafana" / name, settings.secret(name))
    if settings.uses_s3 and urlsplit(settings.s3.endpoint).hostname == STORE:
        key, secret = store_keys(settings)
        write_private(volumes / "minio" / "minio_root_user", key)
        write_private(volumes / "minio" / "minio_root_password", secret)


if __name__ == "__main__":
    settings = Settings()
    make_directories(settings)
    write_home(settings)
    hand_over(settings, Path(sys.argv[1]))
    if on_cluster(settings):
        write_once(settings.secrets_dir / "spark_auth")
        write_cluster_conf(settings)
    write_spark_conf(settings)

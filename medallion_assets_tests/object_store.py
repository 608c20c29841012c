"""A real object store for tests: MinIO's server, a child on loopback with random keys.

It is a tool of the tests, under a licence of its own, and no part of the product: the product knows S3 only. The
program is taken from PATH or from the cache; `python -m medallion_assets_tests.object_store` builds it with Go.
"""

import os
import secrets
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyarrow.fs import S3FileSystem

from fraud_domain.object_store import credentials, credentials_file
from fraud_domain.settings import Settings
from medallion_services.embedded.component import Component
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.ports import LOOPBACK, PortClaim, free_ports
from medallion_services.embedded.throwaway import fresh_settings

BUCKET = "fraud"
MODULE = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
BUILD = "no object store: `python -m medallion_assets_tests.object_store` builds MinIO (needs Go; about ten minutes)"


def program(settings: Settings) -> Path | None:
    """MinIO's server, if this machine has it."""
    cached = settings.cache_dir / "bin" / "minio"
    found = shutil.which("minio")
    return cached if cached.exists() else Path(found) if found else None


def build(settings: Settings) -> str:
    """Build the server into the cache unless it is there; what went wrong, or nothing."""
    if program(settings):
        return ""
    go = shutil.which("go")
    if go is None:
        return "there is no Go to build MinIO with"
    directory = settings.cache_dir / "bin"
    directory.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"GOBIN": str(directory)}
    answer = subprocess.run([go, "install", MODULE], env=environment, capture_output=True, text=True, check=False)
    return f"MinIO could not be built: {answer.stderr[-800:]}" if answer.returncode else ""


@contextmanager
def s3_settings(**more: object) -> Iterator[Settings]:
    """Settings of a stack of a test's own whose lake and checkpoints are in a store that `component` starts."""
    (port,) = free_ports(1)
    root = f"s3a://{BUCKET}"
    store = {"lake_uri": f"{root}/lake", "checkpoint_uri": f"{root}/checkpoints"}
    with fresh_settings(**store | {"s3": {"endpoint": f"http://{LOOPBACK}:{port}"}} | more) as settings:
        write_keys(settings, secrets.token_hex(10), secrets.token_hex(20))
        yield settings


def write_keys(settings: Settings, key_id: str, secret_key: str) -> None:
    """Write the secret file by which everything reaches the store."""
    path = credentials_file(settings)
    path.touch(mode=0o600)
    path.write_text(f"[default]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret_key}\n")


def component(settings: Settings, minio: Path) -> Component:
    """The store that these settings name, with an empty bucket."""
    port = int(settings.s3.endpoint.rpartition(":")[2])
    keys = credentials(settings)
    environment = stack_environment(settings) | {
        "MINIO_ROOT_USER": keys.key_id,
        "MINIO_ROOT_PASSWORD": keys.secret_key,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    address = f"{LOOPBACK}:{port}"
    return Component(
        name="object-store",
        command=(str(minio), "server", "--quiet", "--address", address, str(settings.data_dir / "object-store")),
        environment=environment,
        cwd=settings.data_dir,
        is_ready=lambda: _answers(f"http://{address}/minio/health/ready"),
        ports=(PortClaim(port, "MEDALLION_S3__ENDPOINT"),),
        once_ready=lambda: files(settings).create_dir(BUCKET),
    )


def files(settings: Settings) -> S3FileSystem:
    """The store as a file system, for what tests look at themselves."""
    keys = credentials(settings)
    return S3FileSystem(
        access_key=keys.key_id,
        secret_key=keys.secret_key,
        endpoint_override=settings.s3.endpoint,
        region=settings.s3.region,
        allow_bucket_creation=True,
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - a loopback address of our own
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(build(Settings()) or 0)

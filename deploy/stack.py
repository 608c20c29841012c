"""`make stack-up`: docker compose with the wanted profiles, the settings they need, and the secrets that can be made.

Plain Python without packages: it runs before anything is installed.
"""

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECRETS = ROOT / "deploy" / "secrets"

SETTINGS: dict[str, dict[str, str]] = {
    "metabase": {},
    "shadowtraffic": {},
    "observability": {},
    "minio": {
        "MEDALLION_LAKE_URI": "s3a://fraud/lake",
        "MEDALLION_CHECKPOINT_URI": "s3a://fraud/checkpoints",
        "MEDALLION_S3__ENDPOINT": "http://minio:9000",
    },
    "spark": {
        "MEDALLION_SPARK__MASTER": "spark://spark-master:7077",
        # Two applications share the two cores of one worker; more with more workers.
        "MEDALLION_SPARK__CORES": "1",
        "MEDALLION_SPARK__DRIVER_HOST": "code",
    },
    "auth": {},
}
"""What each profile of docker-compose.yml sets beside starting its services."""

MADE = {"": ("postgres_admin",), "metabase": ("metabase_db",)}
"""Secrets that are random, by profile."""

YOURS = {
    "shadowtraffic": ("shadowtraffic.env", "the licence that ShadowTraffic sent you, as NAME=value lines"),
    "auth": ("proxy_users", "one line a person: NAME and the hash that `caddy hash-password` prints"),
}
"""Files that only you have."""


class Missing(Exception):
    """Something is not there; the message says what to do."""


def check(profiles: list[str], directory: Path) -> None:
    """Names, tools and files.

    Raises:
        Missing: a profile, a tool or a file is not there.
    """
    unknown = [name for name in profiles if name not in SETTINGS]
    if unknown:
        raise Missing(f"no profile {', '.join(unknown)}; there are {', '.join(SETTINGS)}")
    docker = shutil.which("docker")
    if docker is None:
        raise Missing("docker is not installed. `make up` runs the same platform without containers")
    for arguments, what in (
        (["compose", "version"], "has no compose (2.20 or later)"),
        (["info"], "has no engine running"),
    ):
        if subprocess.run([docker, *arguments], capture_output=True, check=False).returncode:
            raise Missing(f"{docker} {what}. `make up` runs the same platform without containers")
    for profile in profiles:
        name, content = YOURS.get(profile, ("", ""))
        if name and not (directory / name).is_file():
            raise Missing(f"profile {profile} needs deploy/secrets/{name} (mode 0600): {content}")


def make_secrets(profiles: list[str], directory: Path) -> list[str]:
    """Make those that are missing, readable by you only; returns their names."""
    directory.mkdir(mode=0o700, exist_ok=True)
    made = []
    for profile in ("", *profiles):
        for name in MADE.get(profile, ()):
            path = directory / name
            if not path.exists():
                path.touch(mode=0o600)
                path.write_text(secrets.token_hex(24))
                made.append(name)
    return made


def command(profiles: list[str]) -> list[str]:
    """What is run."""
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    return ["docker", "compose", *chosen, "up", "--build", "--detach", "--wait"]


def environment(profiles: list[str]) -> dict[str, str]:
    """Settings of the profiles; what is set already wins."""
    wanted = {name: value for profile in profiles for name, value in SETTINGS[profile].items()}
    return wanted | {"HOST_UID": str(os.getuid())} | dict(os.environ)


def main(profiles: list[str]) -> int:
    """Check, make secrets, start; the exit code."""
    try:
        check(profiles, SECRETS)
    except Missing as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    for name in make_secrets(profiles, SECRETS):
        print(f"made deploy/secrets/{name}")  # noqa: T201
    return subprocess.run(command(profiles), cwd=ROOT, env=environment(profiles), check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

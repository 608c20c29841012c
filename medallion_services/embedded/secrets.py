"""Make the secrets that are missing: one file each, random, readable by the owner only.

Values are written once and never shown. With an external database the administrator's password cannot
be invented, so that file is left to the operator.
"""

import os
import secrets as random_secrets
from pathlib import Path

from fraud_domain.settings import Settings

ROLES = ("fraud_owner", "fraud_writer", "fraud_reader", "fraud_notifier", "fraud_desk", "dagster")
ADMIN = "postgres_admin"
_TOKEN_KEY_BYTES = 32


def _write_once(path: Path, value: str) -> bool:
    """Create `path` with `value`; False when it existed. Complete or absent, also after a crash."""
    if path.exists():
        path.chmod(0o600)
        return False
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(value + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def write_once(path: Path) -> bool:
    """Make a random password at `path`, readable by the owner only; False when there is one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Hexadecimal: letters and digits, as every rule for passwords wants.
    return _write_once(path, random_secrets.token_hex(24))


def ensure_secrets(settings: Settings) -> tuple[str, ...]:
    """Create every missing secret and return the names of those made now."""
    directory = settings.secrets_dir
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    wanted = {f"postgres_{role}": random_secrets.token_urlsafe(24) for role in ROLES}
    if not settings.postgres.host:
        wanted[ADMIN] = random_secrets.token_urlsafe(24)
    wanted[f"token_key_{settings.token_key_id}"] = random_secrets.token_hex(_TOKEN_KEY_BYTES)
    return tuple(name for name, value in wanted.items() if _write_once(directory / name, value))

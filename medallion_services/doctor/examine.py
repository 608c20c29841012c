"""Gather the facts and have them judged. Every question has a time limit; what is away is a finding, not an error."""

import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import psutil

from fraud_domain.intervals import interval_micros
from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_services.doctor import files, installation, machine
from medallion_services.doctor.finding import Finding, ok, warning
from medallion_services.doctor.servers import examine_servers
from medallion_services.embedded import jars
from medallion_services.embedded.environment import instance_id
from medallion_services.embedded.java import Java, find_java
from medallion_services.embedded.owner import read_state
from medallion_services.embedded.ports import LOOPBACK, PortClaim
from medallion_services.embedded.processes import marked
from medallion_services.embedded.secrets import ADMIN, ROLES
from medallion_services.errors import UserError

_ON_LOOPBACK = frozenset({LOOPBACK, "0.0.0.0", "::", "::1"})  # noqa: S104 - compared, not bound


def examine(settings: Settings) -> tuple[Finding, ...]:
    """Everything the doctor looks at; changes nothing and takes a few seconds."""
    running = read_state(settings) is not None
    return (
        installation.judge_python((sys.version_info.major, sys.version_info.minor)),
        *_packages(PROJECT_ROOT / "uv.lock"),
        installation.judge_java(_java(settings)),
        _jars(settings),
        *_ports(settings),
        *_disks(settings),
        machine.judge_memory(psutil.virtual_memory().available, machine.heap_bytes(settings), running),
        *_files(settings),
        *examine_servers(settings, running, interval_micros(settings.streams.future_tolerance) / 1e6, time.time),
    )


def _packages(lock_file: Path) -> tuple[Finding, ...]:
    try:
        locked = installation.read_locked(lock_file.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError) as error:
        return (warning("packages", f"not compared: {lock_file.name} cannot be read ({error})", "restore it from git"),)
    return installation.judge_packages(locked, {name: _version(name) for name in locked.direct})


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _java(settings: Settings) -> Java | str:
    # A bundled Java gets its shim written; not into a data directory that may not be there yet.
    with tempfile.TemporaryDirectory(prefix="medallion-doctor-") as scratch:
        try:
            return find_java(settings.model_copy(update={"data_dir": Path(scratch)}))
        except UserError as error:
            return str(error)


def _jars(settings: Settings) -> Finding:
    directory = settings.cache_dir / "jars"
    try:
        lock = jars.read_lock()
        locked = sorted({jar for name in jars.sets_needed(settings) for jar in lock[name]})
        absent = jars.verify(locked, directory) if directory.exists() else tuple(locked)
    except UserError as error:
        return installation.judge_jars(0, (), str(error))
    return installation.judge_jars(len(locked), [jar.file for jar in absent])


def claims(settings: Settings) -> tuple[tuple[str, PortClaim], ...]:
    """The ports of the components that this configuration starts on this machine."""
    found = [
        ("Dagster code server", PortClaim(settings.dagster.code_port, "MEDALLION_DAGSTER__CODE_PORT")),
        ("Dagster webserver", PortClaim(settings.dagster.port, "MEDALLION_DAGSTER__PORT")),
    ]
    if not settings.postgres.host:
        found.append(("PostgreSQL", PortClaim(settings.postgres.port, "MEDALLION_POSTGRES__PORT")))
    if not settings.kafka.bootstrap_servers:
        found.append(("Kafka", PortClaim(settings.kafka.port, "MEDALLION_KAFKA__PORT")))
        found.append(("Kafka", PortClaim(settings.kafka.controller_port, "MEDALLION_KAFKA__CONTROLLER_PORT")))
    if settings.dashboard.enabled:
        found.append(("the dashboard", PortClaim(settings.dashboard.port, "MEDALLION_DASHBOARD__PORT")))
    return tuple(found)


def _listeners() -> dict[int, machine.Holder]:
    found = {}
    for connection in psutil.net_connections(kind="tcp"):
        address, *port = connection.laddr or ("",)
        if connection.status != psutil.CONN_LISTEN or address not in _ON_LOOPBACK:
            continue
        try:
            name = psutil.Process(connection.pid).name() if connection.pid else ""
        except psutil.Error:
            name = "a program"
        found[int(port[0])] = machine.Holder(connection.pid, name)
    return found


def _ports(settings: Settings) -> tuple[Finding, ...]:
    try:
        listeners = _listeners()
    except psutil.Error as error:
        return (warning("ports", f"the system does not tell who listens: {error}", "a start says which port is taken"),)
    ours = {process.pid for process in marked(instance_id(settings))}
    return tuple(machine.judge_port(name, claim, listeners.get(claim.port), ours) for name, claim in claims(settings))


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.exists())


def _disks(settings: Settings) -> Iterator[Finding]:
    places = [settings.data_dir, settings.cache_dir]
    note = settings.data_dir / "postgres" / "location"
    if note.exists():
        places.append(Path(note.read_text(encoding="utf-8").strip()))
    seen = set()
    for place in map(_existing, places):
        if (device := place.stat().st_dev) not in seen:
            seen.add(device)
            yield machine.judge_disk(str(place), shutil.disk_usage(place).free)


def _facts(path: Path) -> files.FileFacts:
    found = path.stat()
    return files.FileFacts(str(path), stat.S_IMODE(found.st_mode), found.st_uid)


def _files(settings: Settings) -> tuple[Finding, ...]:
    directory, uid = settings.secrets_dir, os.geteuid()
    if not directory.exists():
        return (ok("data directory", f"{settings.data_dir} is made by the first `medallion up`"),)
    here = sorted(directory.iterdir())
    judged = (files.judge_private(_facts(path), uid) for path in (directory, *here))
    wanted = [f"postgres_{role}" for role in ROLES] + [f"token_key_{settings.token_key_id}"]
    if not settings.postgres.host:
        wanted.append(ADMIN)
    has_data = any((settings.data_dir / name).exists() for name in ("lake", "postgres"))
    bad = (
        *(each for each in judged if each),
        *files.judge_missing(wanted, [path.name for path in here], has_data),
    )
    private = bad or (ok("secrets", f"{len(here)} files, for their owner only"),)
    return (files.judge_data_dir(_facts(settings.data_dir), uid), *private)

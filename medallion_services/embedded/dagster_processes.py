"""Dagster's three processes: code server, webserver and daemon, all on loopback.

The code server is a process of its own so that a crash of user code takes neither the UI nor the sensors
with it, and so that new code and new rules are loaded while the streams' runs go on.
"""

import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_services.embedded import probes
from medallion_services.embedded.component import Component, Stage
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.java import Java
from medallion_services.embedded.ports import LOOPBACK, PortClaim

DEFINITIONS = "medallion_assets.definitions"
ROLE = "dagster"
CODE_SERVER, WEBSERVER, DAEMON = "dagster-code", "dagster-webserver", "dagster-daemon"


def dagster_home(settings: Settings) -> Path:
    """Dagster's own directory."""
    return settings.data_dir / "dagster_home"


def dagster_environment(settings: Settings, java: Java | None = None) -> dict[str, str]:
    """What Dagster's processes and the runs they start are given; the password is here and never on a command line."""
    return stack_environment(settings, java_home=java.home if java else None) | {
        "DAGSTER_HOME": str(dagster_home(settings)),
        "DAGSTER_CODE_PORT": str(settings.dagster.code_port),
        "DAGSTER_PG_HOST": settings.postgres_host,
        "DAGSTER_PG_PORT": str(settings.postgres.port),
        "DAGSTER_PG_DB": settings.postgres.dagster_database,
        "DAGSTER_PG_USER": ROLE,
        "DAGSTER_PG_PASSWORD": settings.secret(f"postgres_{ROLE}"),
    }


def write_home(settings: Settings) -> None:
    """Make DAGSTER_HOME and put the project's dagster.yaml into it."""
    home = dagster_home(settings)
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(PROJECT_ROOT / "dagster.yaml", home / "dagster.yaml")


def _command(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)


def components(settings: Settings, java: Java, definitions: str = DEFINITIONS) -> tuple[Stage, Stage]:
    """The code server, then webserver and daemon, which read their workspace from it."""
    home = dagster_home(settings)
    code_port, port = str(settings.dagster.code_port), str(settings.dagster.port)
    base = Component(
        name=CODE_SERVER,
        command=_command(
            "dagster", "code-server", "start", "-m", definitions, "-h", LOOPBACK, "-p", code_port,
            "--location-name", "medallion", "--use-python-environment-entry-point",
        ),
        environment=dagster_environment(settings, java),
        cwd=home,
        is_ready=lambda: probes.code_server_answers(settings),
        ports=(PortClaim(settings.dagster.code_port, "MEDALLION_DAGSTER__CODE_PORT"),),
        prepare=lambda: write_home(settings),
        # Its runs stop their Spark drivers first.
        stop_grace=75.0,
    )  # fmt: skip
    webserver = replace(
        base,
        name=WEBSERVER,
        command=_command(
            "dagster_webserver", "-w", str(PROJECT_ROOT / "workspace.yaml"), "-h", settings.dagster.host, "-p", port
        ),
        is_ready=lambda: probes.webserver_answers(settings),
        ports=(PortClaim(settings.dagster.port, "MEDALLION_DAGSTER__PORT"),),
        stop_grace=15.0,
    )
    started = [datetime.max.replace(tzinfo=UTC)]

    def note_start() -> None:
        started[0] = datetime.now(UTC)

    daemon = replace(
        base,
        name=DAEMON,
        command=_command("dagster._daemon", "run", "-w", str(PROJECT_ROOT / "workspace.yaml")),
        is_ready=lambda: probes.daemon_beat_since(settings, started[0]),
        ports=(),
        prepare=note_start,
        stop_grace=20.0,
    )
    return (base,), (webserver, daemon)

"""The composition root of the stack: which components there are, and what comes before what."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

from fraud_domain.settings import Settings
from medallion_services.embedded import dagster_processes, kafka, postgres, probes
from medallion_services.embedded.component import Component, Stage
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.java import Java
from medallion_services.embedded.kafka_topics import create_topics
from medallion_services.embedded.ports import PortClaim

GENERATOR = "generator"
DASHBOARD = "dashboard"
NOTIFIER = "notifier"


def prepare_database(settings: Settings) -> None:
    """Roles, databases and migrations; safe to repeat."""
    from medallion_services import database

    database.prepare(settings)


@dataclass(frozen=True, slots=True)
class Extension:
    """What a test replaces: how the database is prepared and which definitions are served."""

    prepare_database: Callable[[Settings], None] = prepare_database
    definitions: str = dagster_processes.DEFINITIONS


def _service(settings: Settings, java: Java, name: str, *arguments: str) -> Component:
    """A process of ours that is one `medallion` command and needs no probe beyond being alive."""
    return Component(
        name=name,
        command=(sys.executable, "-m", "medallion_services", *arguments),
        environment=stack_environment(settings, java_home=java.home),
        cwd=settings.data_dir,
        is_ready=lambda: True,
    )


def build_stages(settings: Settings, java: Java, extension: Extension | None = None) -> tuple[Stage, ...]:
    """The components of this configuration; what is external is left out."""
    extension = extension or Extension()
    servers: list[Component] = []
    if not settings.postgres.host:
        server = postgres.component(settings)
        servers.append(replace(server, once_ready=lambda: extension.prepare_database(settings)))
    if not settings.kafka.bootstrap_servers:
        servers.append(kafka.component(settings, java))
    services: list[Component] = []
    if settings.dashboard.enabled:
        services.append(
            replace(
                _service(settings, java, DASHBOARD, "dashboard"),
                is_ready=lambda: probes.dashboard_answers(settings),
                ports=(PortClaim(settings.dashboard.port, "MEDALLION_DASHBOARD__PORT"),),
                stop_grace=10.0,
            )
        )
    if settings.notifier.enabled:
        services.append(replace(_service(settings, java, NOTIFIER, "notify", "run"), stop_grace=20.0))
    if settings.generator.enabled:
        services.append(_service(settings, java, GENERATOR, "generate", "--live"))
    stages = (tuple(servers), *dagster_processes.components(settings, java, extension.definitions), tuple(services))
    return tuple(stage for stage in stages if stage)


def prepare_external(settings: Settings, extension: Extension | None = None) -> None:
    """What the embedded servers get on their first start, for servers that run elsewhere."""
    if settings.postgres.host:
        (extension or Extension()).prepare_database(settings)
    if settings.kafka.bootstrap_servers:
        create_topics(settings, align=False)

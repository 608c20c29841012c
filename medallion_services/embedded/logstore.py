"""The jar with Delta's LogStore for object stores, built from `deploy/logstore` on the machine that needs it.

No binary is kept in the repository: thirty lines of Java are compiled against the locked jars and cached by
the hash of all that goes in (docs/adr/0014).
"""

import hashlib
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from fraud_domain.settings import PROJECT_ROOT
from medallion_services.embedded.java import Java
from medallion_services.errors import UserError

SOURCES = PROJECT_ROOT / "deploy" / "logstore"
LOG_STORE = "medallion.lake.ConditionalPutLogStore"
_RELEASE = "17"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def logstore_jar(cache: Path, sources: Path = SOURCES) -> Path:
    """Where the jar of these sources is, or will be after `build`."""
    digest = hashlib.sha256()
    for source in sorted(sources.glob("*.java")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return cache / "jars" / f"medallion-logstore-{digest.hexdigest()[:12]}.jar"


def build(jar: Path, java: Java, classpath: Iterable[Path], sources: Path = SOURCES) -> None:
    """Compile the sources into `jar` unless it is there; the same sources give the same bytes.

    Raises:
        UserError: this machine has no Java compiler, or it refuses.
    """
    if jar.exists():
        return
    with tempfile.TemporaryDirectory(prefix="medallion-logstore-") as scratch:
        classes = Path(scratch) / "classes"
        command = [_compiler(java), "--release", _RELEASE, "-proc:none", "-nowarn", "-d", str(classes)]
        command += ["-cp", ":".join(map(str, classpath)), *map(str, sorted(sources.glob("*.java")))]
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if answer.returncode:
            raise UserError(f"the LogStore in {sources} could not be compiled: {answer.stderr[-800:]}")
        packed = jar.with_suffix(".building")
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(classes.rglob("*.class")):
                entry = zipfile.ZipInfo(path.relative_to(classes).as_posix(), _EPOCH)
                archive.writestr(entry, path.read_bytes())
        packed.replace(jar)


def _compiler(java: Java) -> str:
    beside = java.home / "bin" / "javac"
    found = str(beside) if beside.exists() else shutil.which("javac")
    if found is None:
        raise UserError(
            "a lake in an object store needs a Java compiler once, to build Delta's LogStore, and there is no javac. "
            "Install a JDK 17 or 21 (a JRE is not enough) and run the command again, or copy "
            "medallion-logstore-*.jar from the cache of a machine that has built it into this one's."
        )
    return found

"""The locked jars: what belongs to each set, how they are fetched, and that they are what was locked.

`jars.lock.json` holds coordinates, file names, sizes and SHA-256, nothing of where they come from.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_services.embedded.ivy import Coordinate, retrieve
from medallion_services.embedded.java import Java
from medallion_services.embedded.logstore import build, logstore_jar
from medallion_services.errors import UserError

LOCK_FILE = PROJECT_ROOT / "jars.lock.json"

ROOTS: Mapping[str, tuple[str, ...]] = {
    "spark": (
        "io.delta:delta-spark_4.2_2.13:4.4.0",
        "org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0",
        "com.globalmentor:hadoop-bare-naked-local-fs:0.1.0",
    ),
    "kafka": (
        "org.apache.kafka:kafka_2.13:4.2.2",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5",
    ),
    "s3": (
        "org.apache.hadoop:hadoop-aws:3.5.0",
        "software.amazon.awssdk:apache-client:2.35.4",
        "software.amazon.awssdk:netty-nio-client:2.35.4",
        "software.amazon.awssdk:s3:2.35.4",
        "software.amazon.awssdk:s3-transfer-manager:2.35.4",
        "software.amazon.awssdk:sts:2.35.4",
        "software.amazon.s3.analyticsaccelerator:analyticsaccelerator-s3:1.3.1",
    ),
}
"""What each set is for; the lock adds what they need. Kafka has its own classpath and its own logging."""

_ALONE = frozenset(
    {"org.apache.hadoop:hadoop-aws:3.5.0", "software.amazon.s3.analyticsaccelerator:analyticsaccelerator-s3:1.3.1"}
)
"""What they need is named beside them: hadoop-aws asks for the clients of every AWS service, 686 MB."""

_ADDED_TO_SPARK = frozenset({"spark", "s3"})

_SUPERSEDED = frozenset({"shims", "commons-logging"})
"""`shims` is part of RoaringBitmap < 1, and PySpark ships 1.x; for commons-logging it ships jcl-over-slf4j."""

_DOWNLOADERS = 4


@dataclass(frozen=True, order=True, slots=True)
class LockedJar:
    """One jar of a set."""

    coordinate: str
    file: str
    sha256: str
    size: int


Lock = Mapping[str, tuple[LockedJar, ...]]


def read_lock(path: Path = LOCK_FILE) -> Lock:
    """The lock as written by `medallion jars lock`.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {name: tuple(LockedJar(**jar) for jar in jars) for name, jars in document["sets"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"cannot read {path}: {error}. Restore it from git, or run `medallion jars lock`.") from error


def write_lock(lock: Lock, path: Path = LOCK_FILE) -> None:
    """Write the lock so that the same content always gives the same bytes."""
    document = {"version": 1, "sets": {name: [asdict(jar) for jar in sorted(lock[name])] for name in sorted(lock)}}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def module_of(file_name: str) -> str:
    """The module in a jar's file name: what stands before the first `-<digit>`."""
    return re.split(r"-(?=\d)", file_name.removesuffix(".jar"), maxsplit=1)[0]


def shipped_modules() -> frozenset[str]:
    """Modules that PySpark ships itself; a second version of any of them must never be beside it."""
    return frozenset(module_of(path.name) for path in _shipped_jars().glob("*.jar"))


def _shipped_jars() -> Path:
    import pyspark

    return Path(pyspark.__file__).parent / "jars"


def without_shipped(found: Iterable[Coordinate], shipped: frozenset[str]) -> tuple[Coordinate, ...]:
    """What has to be added to PySpark: everything resolved minus what it ships or replaces."""
    return tuple(sorted(c for c in found if c.module not in shipped | _SUPERSEDED))


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resolve_lock(java: Java, cache: Path, ivy_settings: Path | None = None) -> Lock:
    """Resolve the roots of every set and hash what came; the answer is what `write_lock` stores."""
    lock = {}
    for name, roots in ROOTS.items():
        with tempfile.TemporaryDirectory(prefix="medallion-lock-") as scratch:
            wanted = [Coordinate.parse(root) for root in roots]
            alone = [Coordinate.parse(root) for root in roots if root in _ALONE]
            found = retrieve(
                wanted,
                Path(scratch),
                java=java,
                cache=cache,
                transitive=True,
                alone=alone,
                ivy_settings=ivy_settings,
            )
            kept = without_shipped(found, shipped_modules()) if name in _ADDED_TO_SPARK else tuple(sorted(found))
            lock[name] = tuple(
                LockedJar(str(c), c.file_name, sha256_of(found[c]), found[c].stat().st_size) for c in kept
            )
    return lock


def sets_needed(settings: Settings) -> tuple[str, ...]:
    """Names of the sets that this configuration uses; those for S3 are not brought to a laptop."""
    return ("spark", "kafka", "s3") if settings.uses_s3 else ("spark", "kafka")


@contextmanager
def _exclusive(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _read_stamps(path: Path) -> dict[str, list[object]]:
    try:
        stamps = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def verify(jars: Sequence[LockedJar], directory: Path) -> tuple[LockedJar, ...]:
    """Check every jar against the lock and return the absent ones.

    A file whose size and times are as when it was last hashed is not hashed again.

    Raises:
        UserError: a file is not what was locked.
    """
    stamp_file = directory / ".verified.json"
    stamps = _read_stamps(stamp_file)
    absent = []
    for jar in jars:
        path = directory / jar.file
        if not path.exists():
            absent.append(jar)
            continue
        stat = path.stat()
        stamp: list[object] = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, jar.sha256]
        if stamps.get(jar.file) == stamp:
            continue
        actual = sha256_of(path)
        if actual != jar.sha256:
            raise UserError(
                f"{path} is not the jar that was locked: sha256 is {actual}, {LOCK_FILE.name} says {jar.sha256}. "
                "Do not use it: delete the file and run `medallion jars fetch`; if it comes back, tell the maintainers."
            )
        stamps[jar.file] = stamp
    temporary = stamp_file.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(stamps), encoding="utf-8")
    temporary.replace(stamp_file)
    return tuple(absent)


def shares(jars: Sequence[LockedJar], count: int) -> tuple[tuple[LockedJar, ...], ...]:
    """Divide jars for `count` Ivys so that no two versions of a module meet: Ivy would drop the older one."""
    parts: list[list[LockedJar]] = [[] for _ in range(count)]
    seen: dict[str, int] = {}
    for position, jar in enumerate(jars):
        module = jar.coordinate.rpartition(":")[0]
        wanted = position * count // len(jars)
        part = (seen[module] + 1) % count if module in seen else wanted
        seen[module] = part
        parts[part].append(jar)
    return tuple(tuple(part) for part in parts if part)


def download(
    absent: Sequence[LockedJar], directory: Path, settings: Settings, java: Java, on_file: Callable[[str], None]
) -> None:
    """Bring jars into `directory`, several Ivys at a time: each spends most of its time waiting for answers.

    Raises:
        UserError: one of them fails; what the others brought is kept.
    """

    def bring(number: int, jars: Sequence[LockedJar]) -> None:
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=directory) as scratch:
            found = retrieve(
                [Coordinate.parse(jar.coordinate) for jar in jars],
                Path(scratch),
                java=java,
                cache=settings.cache_dir / "ivy" / str(number),
                transitive=False,
                ivy_settings=settings.ivy_settings,
                on_file=on_file,
            )
            for jar in jars:
                found[Coordinate.parse(jar.coordinate)].replace(directory / jar.file)

    with ThreadPoolExecutor(max_workers=_DOWNLOADERS) as pool:
        pending = [pool.submit(bring, number, jars) for number, jars in enumerate(shares(absent, _DOWNLOADERS))]
    for each in pending:
        each.result()


def fetch(
    settings: Settings,
    java: Java,
    *,
    lock: Lock | None = None,
    on_total: Callable[[int], None] = lambda count: None,
    on_file: Callable[[str], None] = lambda name: None,
) -> Path:
    """Bring exactly the locked jars that the settings ask for into the cache, verified, and return their directory.

    Offline when all are there.

    Raises:
        UserError: a download fails, a jar differs from the lock, or S3 is wanted and there is no Java compiler.
    """
    directory = settings.cache_dir / "jars"
    locked, wanted = lock or read_lock(), sets_needed(settings)
    jars = sorted({jar for name, members in locked.items() if name in wanted for jar in members})
    with _exclusive(directory):
        absent = verify(jars, directory)
        if absent:
            on_total(len(absent))
            download(absent, directory, settings, java, on_file)
            verify(absent, directory)
            shutil.rmtree(settings.cache_dir / "ivy", ignore_errors=True)
        if settings.uses_s3:
            *locked_jars, built = spark_jars(settings)
            build(built, java, [*locked_jars, _shipped_jars() / "*"])
    return directory


def spark_jars(settings: Settings) -> tuple[Path, ...]:
    """Paths of everything that is added to Spark in this configuration."""
    paths = jar_paths(settings, "spark")
    if settings.uses_s3:
        paths += (*jar_paths(settings, "s3"), logstore_jar(settings.cache_dir))
    return paths


def jar_paths(settings: Settings, name: str, lock: Lock | None = None) -> tuple[Path, ...]:
    """Paths of a set's jars in the cache, in lock order; says nothing about their presence."""
    return tuple(settings.cache_dir / "jars" / jar.file for jar in (lock or read_lock())[name])

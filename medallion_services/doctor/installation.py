"""Whether what is installed is what was locked: Python, packages, Java, jars."""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from medallion_services.doctor.finding import Finding, ok, problem, warning
from medallion_services.embedded.java import Java

PYTHONS = ((3, 11), (3, 12), (3, 13))
"""As `requires-python` says."""

_PROJECT = "medallion-fraud"
_ENGINES = ("pyspark", "delta-spark", "dagster")
"""They write and read the same files and databases as their jars and servers; another version is another platform."""

_SYNC = "bring what is locked: `uv sync --locked`"


@dataclass(frozen=True, slots=True)
class Locked:
    """What `uv.lock` says: the direct dependencies, and the versions of every package (one a platform)."""

    direct: tuple[str, ...]
    versions: Mapping[str, frozenset[str]]


def read_locked(text: str) -> Locked:
    """Read `uv.lock`.

    Raises:
        ValueError: it is no such file.
    """
    document = tomllib.loads(text)
    versions: dict[str, set[str]] = {}
    direct: tuple[str, ...] = ()
    for package in document.get("package", []):
        versions.setdefault(package["name"], set()).add(package.get("version", ""))
        if package["name"] == _PROJECT:
            direct = tuple(each["name"] for each in package.get("dependencies", []))
    if not direct:
        raise ValueError(f"it says nothing of {_PROJECT}")
    return Locked(direct, {name: frozenset(found) for name, found in versions.items()})


def judge_python(version: tuple[int, int]) -> Finding:
    """The interpreter."""
    name = ".".join(map(str, version))
    if version in PYTHONS:
        return ok("python", name)
    known = ", ".join(".".join(map(str, each)) for each in PYTHONS)
    return problem("python", f"{name} is not one of {known}", "make the environment anew with one of them")


def judge_packages(locked: Locked, installed: Mapping[str, str | None]) -> tuple[Finding, ...]:
    """Direct dependencies against the lock; `installed` has None for what is missing."""
    found = []
    for name in locked.direct:
        has, wanted = installed.get(name), locked.versions[name]
        if has is None:
            found.append(problem("packages", f"{name} is missing", _SYNC))
        elif has not in wanted:
            grade = problem if name in _ENGINES else warning
            found.append(grade("packages", f"{name} is {has}, locked is {' or '.join(sorted(wanted))}", _SYNC))
    if found:
        return tuple(found)
    engines = ", ".join(f"{name} {installed[name]}" for name in _ENGINES if name in installed)
    return (ok("packages", f"{len(locked.direct)} as locked; {engines}"),)


def judge_java(found: Java | str) -> Finding:
    """The Java that a start would choose, or why there is none."""
    if isinstance(found, str):
        return problem("java", found, "install Java 17 or 21, or `uv sync --locked` for the bundled one")
    return ok("java", f"{found.reason} ({found.home})")


def judge_jars(total: int, absent: Collection[str], differs: str = "") -> Finding:
    """The cache of jars; `differs` is the message about one that is not what was locked."""
    if differs:
        return problem("jars", differs, "delete the file, then `medallion jars fetch`")
    if absent:
        what = f"{len(absent)} of {total} are missing, such as {min(absent)}"
        return warning("jars", what, "`medallion jars fetch`, or the next `medallion up`, brings them; needs a network")
    return ok("jars", f"{total}, each as locked")

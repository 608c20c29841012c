"""One finding of the doctor."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is. A problem keeps the platform from running or from being right; a warning may."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was seen, and what to do when it is not as it should be."""

    subject: str
    level: Level
    what: str
    advice: str = ""


def ok(subject: str, what: str) -> Finding:
    """All is well."""
    return Finding(subject, Level.OK, what)


def warning(subject: str, what: str, advice: str) -> Finding:
    """It may do harm."""
    return Finding(subject, Level.WARNING, what, advice)


def problem(subject: str, what: str, advice: str) -> Finding:
    """It does harm."""
    return Finding(subject, Level.PROBLEM, what, advice)


def healthy(findings: Iterable[Finding]) -> bool:
    """Whether none is a problem."""
    return all(finding.level is not Level.PROBLEM for finding in findings)

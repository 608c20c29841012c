"""What was published for the streams to judge by, in PostgreSQL."""

from dataclasses import dataclass
from typing import Any

import psycopg

from spark_jobs.plain_error import PlainError

LOOK_EVERY_SECONDS = 1.0
"""Batches that follow sooner do not ask the database again."""
LOOK_PATIENCE_SECONDS = 2.0


class NoRuleSetError(PlainError):
    """The database holds no rule set to judge by."""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """What a worker needs to judge, as plain texts: unpickling a whole catalogue took most of a task's time."""

    version: str
    texts: tuple[tuple[str, str], ...]


def newest(connection: psycopg.Connection[Any]) -> tuple[int, str] | None:
    """Activation and version of the rule set published last."""
    row = connection.execute(
        "SELECT activation_id, version FROM fraud.rule_activations ORDER BY activation_id DESC LIMIT 1"
    ).fetchone()
    return None if row is None else (row[0], row[1])


def require_newest(connection: psycopg.Connection[Any]) -> tuple[int, str]:
    """The same for who cannot do without.

    Raises:
        NoRuleSetError: nothing was ever published.
    """
    published = newest(connection)
    if published is None:
        raise NoRuleSetError("no rule set was ever published; run `medallion rules publish`")
    return published


def newer(connection: psycopg.Connection[Any], activation: int) -> tuple[int, str] | None:
    """Activation and version of what was published after an activation; None when nothing was."""
    published = newest(connection)
    return published if published is not None and published[0] > activation else None


def texts_of(connection: psycopg.Connection[Any], version: str) -> dict[str, str]:
    """The rule files of a published version, by name.

    Raises:
        NoRuleSetError: it was never published.
    """
    row = connection.execute("SELECT texts FROM fraud.rule_versions WHERE version = %s", (version,)).fetchone()
    if row is None:
        raise NoRuleSetError(f"rule set {version} is not in fraud.rule_versions; `medallion rules history` lists them")
    return dict(row[0])


def record_boundary(
    connection: psycopg.Connection[Any], query: str, generation: str, first_batch: int, activation: int
) -> None:
    """Note the first batch of a query that an activation's rules judge."""
    connection.execute(
        "INSERT INTO fraud.rule_boundaries (query, generation, first_batch, activation_id) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (query, generation, first_batch, activation),
    )

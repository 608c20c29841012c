"""Rule sets in the database: publish what the rules directory holds, look at what was published.

The alert lane takes a published rule set up between two batches and records from which batch it judged by it
(`spark_jobs/rule_sets.py`). Versions, activations and boundaries are append-only.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from fraud_domain.rules import Catalogue, check_fixtures, load_texts, read_texts
from fraud_domain.settings import Settings
from medallion_services.errors import UserError


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rule files of a directory, checked. `texts` by file name."""

    texts: dict[str, str]
    catalogue: Catalogue

    @property
    def version(self) -> str:
        """Content hash."""
        return self.catalogue.version


@dataclass(frozen=True, slots=True)
class Published:
    """What a publication changed: rule ids against the rule set before it."""

    version: str
    before: str | None
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def anything(self) -> bool:
        """Whether the newest rule set is another one now."""
        return self.version != self.before


@dataclass(frozen=True, slots=True)
class Activation:
    """A publication, and the first batch of each query that it judged; times are UTC."""

    version: str
    requested_by: str
    requested_at: datetime
    boundaries: dict[str, int]


def read_rule_set(directory: Path) -> RuleSet:
    """The rule files of a directory; every fixture must hold.

    Raises:
        fraud_domain.rules.RuleError: a file is wrong; the message lists file, line and rule.
        UserError: a fixture does not hold.
    """
    texts = read_texts(directory)
    catalogue = load_texts(texts)
    failures = check_fixtures(catalogue)
    if failures:
        raise UserError("fixtures do not hold:\n" + "\n".join(str(failure) for failure in failures))
    return RuleSet(texts, catalogue)


def publish(settings: Settings, rules: RuleSet, by: str, note: str = "") -> Published:
    """Make a rule set the newest one; does nothing when it is already."""
    hashes = {rule.id: rule.version_hash for rule in rules.catalogue.rules}
    with psycopg.connect(**settings.postgres_parameters("fraud_writer")) as connection:
        # One publication at a time: what is compared with stays the newest.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('fraud.rule_activations'))")
        row = connection.execute(
            "SELECT version, rules FROM fraud.rule_activations JOIN fraud.rule_versions USING (version)"
            " ORDER BY activation_id DESC LIMIT 1"
        ).fetchone()
        before, known = row if row else (None, {})
        if before != rules.version:
            connection.execute(
                "INSERT INTO fraud.rule_versions (version, texts, rules, published_by, note)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (rules.version, Jsonb(rules.texts), Jsonb(hashes), by, note),
            )
            connection.execute(
                "INSERT INTO fraud.rule_activations (version, requested_by) VALUES (%s, %s)", (rules.version, by)
            )
    return Published(
        rules.version,
        before,
        tuple(sorted(hashes.keys() - known.keys())),
        tuple(sorted(name for name in hashes.keys() & known.keys() if hashes[name] != known[name])),
        tuple(sorted(known.keys() - hashes.keys())),
    )


def activations(settings: Settings, limit: int = 20) -> list[Activation]:
    """The newest publications, newest first."""
    with psycopg.connect(**settings.postgres_parameters("fraud_reader")) as connection:
        rows: list[tuple[Any, ...]] = connection.execute(
            "SELECT a.version, a.requested_by, a.requested_at, coalesce(jsonb_object_agg(b.query, b.first_batch)"
            " FILTER (WHERE b.query IS NOT NULL), '{}') FROM fraud.rule_activations a"
            " LEFT JOIN fraud.rule_boundaries b USING (activation_id)"
            " GROUP BY a.activation_id ORDER BY a.activation_id DESC LIMIT %s",
            (limit,),
        ).fetchall()
    return [Activation(*row) for row in rows]

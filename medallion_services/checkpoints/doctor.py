"""Look at one query's checkpoint and treat it, while nobody writes."""

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg

from fraud_domain.object_store import is_local
from fraud_domain.settings import Settings
from fraud_domain.streams import lock_name
from medallion_services.checkpoints.gaps import accept, lost
from medallion_services.checkpoints.judging import Finding, Remedy, Sinks, judge, remedy_of
from medallion_services.checkpoints.reading import Checkpoint, read_checkpoint
from medallion_services.checkpoints.rebase import plan_for
from medallion_services.checkpoints.repair import aside_path, repair
from medallion_services.checkpoints.sinks import BY_ITSELF, knowledge, parse_query
from medallion_services.errors import UserError


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One query's checkpoint, what the sinks know, and what is wrong."""

    query: str
    checkpoint: Checkpoint
    sinks: Sinks
    findings: list[Finding]

    @property
    def remedy(self) -> Remedy:
        """What it needs as a whole."""
        return remedy_of(self.findings)


def examine(settings: Settings, query: str) -> Diagnosis:
    """Examine a query's checkpoint; changes nothing.

    Raises:
        UserError: no such query, a checkpoint or lake that is not on this machine, or no database.
    """
    spec, name = parse_query(query)
    if not is_local(settings.checkpoint_root):
        raise UserError("the checkpoint doctor reads checkpoints on this machine only; copy them here first")
    checkpoint = read_checkpoint(Path(settings.checkpoint_root) / spec.name / name)
    try:
        sinks = knowledge(settings, query, checkpoint.generation)
    except psycopg.OperationalError as error:
        raise _no_database(error) from error
    return Diagnosis(query, checkpoint, sinks, judge(checkpoint, sinks))


def treat(settings: Settings, query: str, now: datetime) -> list[str]:
    """Repair a query's checkpoint; returns what was done.

    Raises:
        UserError: it needs a rebase, or its stream is running.
    """
    with nobody_writes(settings, query):
        diagnosis = examine(settings, query)
        if diagnosis.remedy is Remedy.REBASE:
            raise UserError(
                f"{query} cannot be repaired; `medallion checkpoint rebase {query}` begins a new generation"
            )
        return repair(diagnosis.checkpoint, diagnosis.findings, diagnosis.sinks, now)


def rebase(settings: Settings, query: str, reason: str, now: datetime) -> list[str]:
    """Put a checkpoint aside and prepare a new generation that writes only what the tables lack.

    Raises:
        UserError: its stream is running, or the lake is not on this machine.
    """
    spec, name = parse_query(query)
    with nobody_writes(settings, query) as connection:
        path = examine(settings, query).checkpoint.path
        plan = None if query in BY_ITSELF else plan_for(settings, query)
        done = []
        if path.exists():
            kept = aside_path(path, now)
            path.rename(kept)
            done.append(f"{path} is now {kept.name}")
        if query.startswith("bronze."):
            gaps = lost(settings, query)
            accept(connection, gaps, reason)
            done += [f"lost and accepted: {gap}" for gap in gaps]
        if plan is None:
            return [*done, "the query starts anew by itself, without loss and without doubles"]
        connection.execute(
            "INSERT INTO fraud.checkpoint_rebases (stream, query, plan, reason, made_by) VALUES (%s, %s, %s, %s, %s)",
            (spec.name, name, json.dumps(plan.as_json()), reason, getpass.getuser()),
        )
        return [*done, plan.in_words()]


@contextmanager
def nobody_writes(settings: Settings, query: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Hold the stream's lock, so that no driver starts meanwhile.

    Raises:
        UserError: a driver holds it, or there is no database.
    """
    spec, _ = parse_query(query)
    try:
        connection = psycopg.connect(**settings.postgres_parameters("fraud_writer"), autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        raise _no_database(error) from error
    with connection:
        row = connection.execute(
            "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (lock_name(spec.name),)
        ).fetchone()
        if not row or not row[0]:
            raise UserError(
                f"stream {spec.name} is running; `medallion streams stop {spec.name} --reason checkpoint` first"
            )
        yield connection


def _no_database(error: psycopg.OperationalError) -> UserError:
    return UserError(f"the database cannot be reached ({str(error).splitlines()[0]}); is the stack up?")

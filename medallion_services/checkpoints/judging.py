"""What is wrong with a checkpoint and what to do: a pure decision over its files and what the sinks already hold.

How Spark 4.2 goes on after a stop (`MicroBatchExecution.populateStartOffsets`): it takes the newest entry of
`offsets` as the batch to run, the one before it as where that batch begins, and skips the run if `commits` has the
same number. So only the last two offsets and the last commit matter. State of version N + 1 belongs to batch N.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from medallion_services.checkpoints.reading import Checkpoint, Entry


class Remedy(StrEnum):
    """What helps."""

    NOTHING = "nothing to do"
    REPAIR = "repair"
    REBASE = "rebase"


class Step(StrEnum):
    """What a repair does to a file."""

    MOVE_ASIDE = "move aside"
    WRITE_ID = "write the query id again"
    COPY_NEWEST = "copy the newest offsets over it"


@dataclass(frozen=True, slots=True)
class Finding:
    """One damage: what, where, what follows from it, and the way out."""

    path: Path
    what: str
    meaning: str
    remedy: Remedy
    step: Step | None = None


@dataclass(frozen=True, slots=True)
class Sinks:
    """What the tables and the ledger know of a query: its last generation, and the newest batch of it they hold."""

    has_rows: bool = False
    generation: str | None = None
    newest_batch: int = -1
    continues_by_itself: bool = False
    """Without a checkpoint the query goes on after its own rows, or counts anew."""


def judge(checkpoint: Checkpoint, sinks: Sinks) -> list[Finding]:
    """Every finding, the worst remedy decides; an empty list means that Spark can go on."""
    if not checkpoint.exists:
        return [_lost(checkpoint, sinks)] if sinks.has_rows else []
    if checkpoint.direct is not None:
        return [] if checkpoint.direct.good else [_direct(checkpoint.direct)]
    findings = [*_metadata(checkpoint, sinks), *_logs(checkpoint, sinks), *_operators(checkpoint)]
    return [*findings, *_state(checkpoint, sinks)] if not _needs(findings, Remedy.REBASE) else findings


def remedy_of(findings: list[Finding]) -> Remedy:
    """What the checkpoint as a whole needs."""
    for remedy in (Remedy.REBASE, Remedy.REPAIR):
        if _needs(findings, remedy):
            return remedy
    return Remedy.NOTHING


def _needs(findings: list[Finding], remedy: Remedy) -> bool:
    return any(finding.remedy is remedy for finding in findings)


def _lost(checkpoint: Checkpoint, sinks: Sinks) -> Finding:
    if sinks.continues_by_itself:
        meaning = "the query starts anew by itself, without loss and without doubles"
        return Finding(checkpoint.path, "the checkpoint is gone", meaning, Remedy.NOTHING)
    return Finding(
        checkpoint.path,
        "the checkpoint is gone and its table has rows",
        "starting from the beginning would write them all again",
        Remedy.REBASE,
    )


def _direct(entry: Entry) -> Finding:
    meaning = "the direct lane has histories and positions in this file alone, and refuses to start"
    return Finding(entry.path, f"the file is {entry.condition.value}", meaning, Remedy.REBASE)


def _metadata(checkpoint: Checkpoint, sinks: Sinks) -> list[Finding]:
    entry = checkpoint.metadata
    if entry.good:
        return []
    what = f"the query id is {entry.condition.value}"
    if sinks.generation:
        meaning = f"Spark refuses to start; the sinks name the id: {sinks.generation}"
        return [Finding(entry.path, what, meaning, Remedy.REPAIR, Step.WRITE_ID)]
    return [Finding(entry.path, what, "Spark refuses to start, and no sink names the id", Remedy.REBASE)]


def _logs(checkpoint: Checkpoint, sinks: Sinks) -> list[Finding]:
    offsets, commits = checkpoint.offsets, checkpoint.commits
    if not offsets:
        if not commits and sinks.newest_batch < 0:
            return []
        meaning = "nothing says how far the query has read"
        return [Finding(checkpoint.path / "offsets", "no batch is recorded", meaning, Remedy.REBASE)]
    newest = max(offsets)
    done = max(commits, default=-1)
    if done > newest:
        path = checkpoint.path / "offsets" / str(done)
        meaning = "Spark would plan that batch again with other rows, and Delta would skip them as written"
        return [Finding(path, f"batch {done} is committed, its offsets are missing", meaning, Remedy.REBASE)]
    findings = [*_newest_offsets(offsets[newest], newest, done, sinks)]
    if newest > 0:
        findings += _offsets_before(checkpoint, newest, done)
    findings += _newest_commit(commits, done)
    old = [e for n, e in offsets.items() if n < newest - 1 and not e.good]
    old += [e for n, e in commits.items() if n < done and not e.good]
    findings += [_harmless(entry) for entry in old]
    return findings


def _newest_offsets(entry: Entry, newest: int, done: int, sinks: Sinks) -> list[Finding]:
    if entry.good:
        return []
    what = f"the offsets of batch {newest} are {entry.condition.value}"
    if done == newest:
        return [Finding(entry.path, what, "the batch is done; where the next begins is not known", Remedy.REBASE)]
    if sinks.newest_batch >= newest:
        meaning = "a table already holds rows of this batch: planned anew, it would have others, which Delta would skip"
        return [Finding(entry.path, what, meaning, Remedy.REBASE)]
    meaning = "no table holds anything of this batch: without the file Spark plans it anew"
    return [Finding(entry.path, what, meaning, Remedy.REPAIR, Step.MOVE_ASIDE)]


def _offsets_before(checkpoint: Checkpoint, newest: int, done: int) -> list[Finding]:
    path = checkpoint.path / "offsets" / str(newest - 1)
    entry = checkpoint.offsets.get(newest - 1)
    if entry is not None and entry.good:
        return []
    what = f"the offsets of batch {newest - 1} are {entry.condition.value if entry else 'missing'}"
    if done == newest and checkpoint.offsets[newest].good:
        meaning = f"Spark wants the file, not its content, because batch {newest} is done"
        return [Finding(path, what, meaning, Remedy.REPAIR, Step.COPY_NEWEST)]
    return [Finding(path, what, f"where batch {newest} begins is not known", Remedy.REBASE)]


def _newest_commit(commits: dict[int, Entry], done: int) -> list[Finding]:
    if done < 0 or commits[done].good:
        return []
    meaning = f"without the file batch {done} runs again, and the sinks skip what they hold of it"
    what = f"the commit of batch {done} is {commits[done].condition.value}"
    return [Finding(commits[done].path, what, meaning, Remedy.REPAIR, Step.MOVE_ASIDE)]


def _harmless(entry: Entry) -> Finding:
    what = f"an old entry is {entry.condition.value}"
    return Finding(entry.path, what, "Spark does not read it any more", Remedy.NOTHING)


def _operators(checkpoint: Checkpoint) -> list[Finding]:
    return [
        Finding(
            entry.path,
            f"the description of a stateful operator is {entry.condition.value}",
            "Spark cannot open the state",
            Remedy.REBASE,
        )
        for entry in checkpoint.operator_files
        if not entry.good
    ]


def _state(checkpoint: Checkpoint, sinks: Sinks) -> list[Finding]:
    """State must be loadable as of the batch that runs next.

    When it is not, but the version before is, that version's batch is run again: Spark plans a batch before it loads
    state, so a batch that no sink has seen anything of stands in the way and is planned anew afterwards.
    """
    if not checkpoint.stores or not checkpoint.offsets:
        return []
    newest = max(checkpoint.offsets)
    done = max((number for number, entry in checkpoint.commits.items() if entry.good), default=-1)
    wanted = newest + 1 if done == newest else newest
    broken = [link for store in checkpoint.stores if (link := store.broken_link(wanted))]
    if not broken:
        return []
    again = wanted - 1
    unseen = done == newest or (done == newest - 1 and sinks.newest_batch < newest)
    begins = again == 0 or (again - 1 in checkpoint.offsets and checkpoint.offsets[again - 1].good)
    if again < 0 or not unseen or not begins or any(store.broken_link(again) for store in checkpoint.stores):
        meaning = f"the state of version {wanted} cannot be loaded, and batch {again} cannot be run again"
        return [Finding(checkpoint.path / "state", link, meaning, Remedy.REBASE) for link in broken]
    meaning = f"the state before it is whole: without its commit batch {again} runs again and writes it anew"
    findings = [
        Finding(checkpoint.path / "commits" / str(again), link, meaning, Remedy.REPAIR, Step.MOVE_ASIDE)
        for link in broken
    ]
    if done != newest:
        meaning = f"no sink holds anything of batch {newest}: it is planned anew afterwards"
        path = checkpoint.offsets[newest].path
        findings.append(Finding(path, f"batch {newest} stands in the way", meaning, Remedy.REPAIR, Step.MOVE_ASIDE))
    return findings

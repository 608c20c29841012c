"""Whether lake and database can be reached, and whether the checkpoints are whole."""

from collections.abc import Mapping, Sequence

from medallion_services.checkpoints.doctor import Diagnosis
from medallion_services.checkpoints.judging import Remedy
from medallion_services.doctor.finding import Finding, ok, problem, warning

ABSENT = "absent"


def judge_database(place: str, error: str, expected: bool) -> Finding:
    """The database; `error` is empty when it answered. `expected` when it is external, or the stack runs."""
    if not error:
        return ok("database", f"answers at {place}")
    if not expected:
        return ok("database", "not running; `medallion up` starts it")
    return problem("database", f"no answer at {place}: {error}", "`medallion status`; the runbook: database-down")


def judge_kafka(place: str, refusal: str, expected: bool) -> Finding:
    """The broker; `refusal` is why it does not answer, empty when it does."""
    if not refusal:
        return ok("kafka", f"answers at {place}")
    if not expected:
        return ok("kafka", "not running; `medallion up` starts it")
    advice = "`medallion status`; see its log, and address, login and certificates in the settings"
    return problem("kafka", f"no answer at {place}: {refusal}", advice)


def judge_lake(root: str, tables: Mapping[str, str]) -> tuple[Finding, ...]:
    """The Delta tables by name: `ABSENT`, an error, or empty when the table can be opened."""
    broken = tuple(
        problem("lake", f"{name} cannot be read: {error}", f"see that {root} is there, whole and yours")
        for name, error in sorted(tables.items())
        if error and error != ABSENT
    )
    there = sum(not error for error in tables.values())
    return broken or (ok("lake", f"{there} of {len(tables)} tables at {root}, all of them readable"),)


def judge_checkpoints(diagnoses: Sequence[Diagnosis], running: Sequence[str]) -> tuple[Finding, ...]:
    """Checkpoints of streams that stand still, and the names of those that run and were left alone."""
    found = []
    for diagnosis in diagnoses:
        if diagnosis.remedy is Remedy.NOTHING:
            continue
        worst = next(each for each in diagnosis.findings if each.remedy is diagnosis.remedy)
        advice = f"`medallion checkpoint {diagnosis.remedy.value} {diagnosis.query}`; the runbook: lost-checkpoint"
        found.append(problem("checkpoints", f"{diagnosis.query}: {worst.what}: {worst.meaning}", advice))
    if diagnoses and not found:
        found.append(ok("checkpoints", f"{len(diagnoses)} examined, whole"))
    if running:
        found.append(ok("checkpoints", f"not examined while their streams run: {', '.join(running)}"))
    return tuple(found)


def not_examined(reason: str) -> Finding:
    """Checkpoints that could not be looked at."""
    return warning("checkpoints", f"not examined: {reason}", "`medallion checkpoint verify` when that is mended")

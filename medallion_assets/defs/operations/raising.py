"""From what failed to one row of `fraud.ops_alerts`; the notifier tells people."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from fraud_domain.cards import masked
from medallion_assets.defs.operations.classify import Kind, classify
from medallion_assets.platform import Platform

COOLDOWN = timedelta(hours=1)
"""One cause seen again within this is counted, not told again."""
_BODY_LIMIT = 1_500


@dataclass(frozen=True, slots=True)
class OpsAlert:
    """What `fraud.raise_ops_alert` takes."""

    key: str
    severity: str
    title: str
    body: str
    page: str


def failed_run(job: str, run_id: str, errors: Sequence[str]) -> OpsAlert:
    """The alert about a failed run.

    Args:
        errors: texts from the run's and its steps' failures, the most telling first.
    """
    # An error may quote a row.
    text = masked("\n".join(error for error in errors if error)) or "no error was recorded"
    cause = classify(text)
    advice = {
        Kind.RETRY: "It usually mends itself: streams are started again by their guard.",
        Kind.NEEDS_OPERATOR: "It does not mend itself.",
        Kind.POISON: "Trying again ends in the same way until the data or the rules are mended.",
    }[cause.kind]
    return OpsAlert(
        f"run:{job}:{cause.kind.value}:{cause.name}",
        "warning" if cause.kind is Kind.RETRY else "critical",
        f"{job} failed: {cause.name}",
        f"{advice} Run {run_id}.\n\n{text[:_BODY_LIMIT]}",
        cause.page,
    )


def check_key(asset: str, check: str) -> str:
    """The cause of a failed check."""
    return f"check:{asset}:{check}"


def failed_check(asset: str, check: str, said: str, page: str) -> OpsAlert:
    """The alert about a failed blocking check; `said` is its message."""
    title = f"Check {check} of {asset} failed"
    return OpsAlert(check_key(asset, check), "critical", title, masked(said)[:_BODY_LIMIT] or "no message", page)


def check_page(check: str) -> str:
    """The runbook page about a check."""
    if check == "share_within_limit":
        return "quarantine"
    if check in ("key_is_unique", "generations"):
        return "lost-checkpoint"
    if check == "offsets_contiguous":
        return "kafka-data-loss"
    return "checks"


def raise_alert(platform: Platform, alert: OpsAlert) -> bool:
    """Write it; returns False when the same cause is open and was seen within the cooldown.

    Raises:
        psycopg.OperationalError: the database is away; the sensor tries again.
    """
    with platform.database("fraud_writer") as connection:
        row = connection.execute(
            "SELECT fraud.raise_ops_alert(%s, %s, %s, %s, %s, %s) AS fresh",
            (alert.key, alert.severity, alert.title, alert.body, alert.page, COOLDOWN),
        ).fetchone()
    return bool(row and row["fresh"])


def resolve(platform: Platform, key: str) -> bool:
    """The cause is gone; returns whether an alert was open."""
    with platform.database("fraud_writer") as connection:
        row = connection.execute("SELECT fraud.resolve_ops_alert(%s) AS was_open", (key,)).fetchone()
    return bool(row and row["was_open"])

"""What every way of judging shares: the engines of a rule set, and a decision as the decision log holds it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any

import orjson

from fraud_domain.intervals import interval_micros
from fraud_domain.rules import Catalogue, Decision, Engine, Reason, Subject, alert_id, load_texts
from fraud_domain.settings import RuleSettings, Settings
from fraud_domain.tables import DECISION_COLUMNS, TRANSACTION_COLUMNS
from spark_jobs.published_rules import RuleSet

POSITION = ("topic", "partition", "offset", "kafka_timestamp")
_TIMES = ("event_time", "kafka_timestamp")
CARRIED = tuple(
    c.name for c in DECISION_COLUMNS if c.name in {k.name for k in TRANSACTION_COLUMNS} or c.name in POSITION
)
"""Columns of a decision that are those of its transaction."""
_carried = itemgetter(*CARRIED)
LOOK_BACK_DAYS = 120
"""History before the first day that is replayed: what rules see (35 days), and the older card that wakes up."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is in force for as long as the application runs, in plain texts."""

    settings: str
    future_tolerance_us: int

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """The limits that the settings give."""
        return cls(settings.rules.model_dump_json(), interval_micros(settings.streams.future_tolerance))


@lru_cache(maxsize=4)
def _catalogue(rules: RuleSet) -> Catalogue:
    """The rules as values: the engines of all kinds of subject are made of one."""
    return load_texts(dict(rules.texts))


@lru_cache(maxsize=16)
def engine_of(rules: RuleSet, limits: Limits, subject: Subject) -> Engine:
    """The compiled rules about one kind of subject, made once per process."""
    return Engine(_catalogue(rules), RuleSettings.model_validate_json(limits.settings), subject)


def decision_document(decision: Decision, event: dict[str, Any]) -> dict[str, Any]:
    """A decision as the decision log holds it (`DECISION_COLUMNS`); money as text, times in ISO-8601, UTC."""
    document = decision_values(decision, event)
    for name in _TIMES:
        document[name] = _iso(event[name])
    document["amount"] = str(event["amount"])
    return document


def decision_values(decision: Decision, event: dict[str, Any]) -> dict[str, Any]:
    """The values of `DECISION_COLUMNS`; money as Decimal, times as epoch microseconds."""
    values = dict(zip(CARRIED, _carried(event), strict=True))
    values |= {
        "score": decision.score,
        "level": decision.level,
        "typology": decision.typology,
        "alert": decision.alert,
        "alert_id": alert_id(decision) if decision.alert else None,
        "subject_kind": decision.subject_kind.value,
        "subject": decision.subject,
        "rule_set_version": decision.rule_set_version,
        "reasons": _as_text(decision.reasons),
        "shadow": _as_text(decision.shadow),
        "abstained": list(decision.abstained),
    }
    return values


def _as_text(reasons: tuple[Reason, ...]) -> str:
    return orjson.dumps([reason.as_json() for reason in reasons]).decode() if reasons else "[]"


def _iso(micros: int) -> str:
    seconds, rest = divmod(micros, 1_000_000)
    return f"{_second(seconds)}.{rest:06d}+00:00" if rest else f"{_second(seconds)}+00:00"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    """A second since 1970 without its zone; most of what comes together is of few seconds."""
    return (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()

"""What every way of judging shares: the engines of a rule set, and a decision as the decision log holds it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

from fraud_domain.intervals import interval_micros
from fraud_domain.rules import Catalogue, Decision, Engine, Subject, alert_id, load_texts
from fraud_domain.settings import RuleSettings, Settings
from fraud_domain.tables import DECISION_COLUMNS, TRANSACTION_COLUMNS
from spark_jobs.published_rules import RuleSet

POSITION = ("topic", "partition", "offset", "kafka_timestamp")
_TIMES = ("event_time", "kafka_timestamp")
CARRIED = tuple(
    c.name for c in DECISION_COLUMNS if c.name in {k.name for k in TRANSACTION_COLUMNS} or c.name in POSITION
)
"""Columns of a decision that are those of its transaction."""
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
    times = {name: (_EPOCH + timedelta(microseconds=event[name])).isoformat() for name in _TIMES}
    return decision_values(decision, event) | times | {"amount": str(event["amount"])}


def decision_values(decision: Decision, event: dict[str, Any]) -> dict[str, Any]:
    """The values of `DECISION_COLUMNS`; money as Decimal, times as epoch microseconds."""
    plain = decision.as_json()
    return {name: event[name] for name in CARRIED} | {
        "score": decision.score,
        "level": decision.level,
        "typology": decision.typology,
        "alert": decision.alert,
        "alert_id": alert_id(decision) if decision.alert else None,
        "subject_kind": decision.subject_kind.value,
        "subject": decision.subject,
        "rule_set_version": decision.rule_set_version,
        "reasons": orjson.dumps(plain["reasons"]).decode(),
        "shadow": orjson.dumps(plain["shadow"]).decode(),
        "abstained": list(decision.abstained),
    }

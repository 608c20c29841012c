"""What the engine says about one transaction."""

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fraud_domain.rules.model import Subject

Value = int | Decimal | str | bool | None


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule that hit.

    `observed` and `threshold` are what was seen and the limit in force (decimals to four places, spans as
    text), `history` the number of earlier events judged on, `contribution` the points this rule adds to the
    decision's score: those of the leading typology sum to it, other rules add 0.
    """

    rule_id: str
    rule_version: str
    title: str
    text: str
    observed: Value
    threshold: Value
    window: str
    weight: int
    contribution: float
    history: int

    def as_json(self) -> dict[str, Any]:
        """JSON types only; exact decimals become texts."""
        return {name: _json(getattr(self, name)) for name in self.__slots__}


# Not frozen, as one is made for each subject of each payment: to be frozen takes five times as long.
@dataclass(slots=True)
class Decision:
    """The outcome for one transaction: `score` 0-100, `level` none|low|medium|high|critical.

    It is about `subject`: the customer, or a merchant, device, ... that the transaction touched. `period` numbers
    the windows of the leading rule: about others than customers, only the first of a window raises an alert.
    """

    transaction_id: str
    customer_id: str
    score: float
    level: str
    typology: str | None
    alert: bool
    reasons: tuple[Reason, ...]
    abstained: tuple[str, ...]
    shadow: tuple[Reason, ...]
    rule_set_version: str
    typology_scores: dict[str, float]
    subject_kind: Subject
    subject: str
    period: int = 0

    def as_json(self) -> dict[str, Any]:
        """JSON types only, ready for a `jsonb` column or a topic."""
        return {
            "transaction_id": self.transaction_id,
            "customer_id": self.customer_id,
            "score": self.score,
            "level": self.level,
            "typology": self.typology,
            "alert": self.alert,
            "reasons": [reason.as_json() for reason in self.reasons],
            "abstained": list(self.abstained),
            "shadow": [reason.as_json() for reason in self.shadow],
            "rule_set_version": self.rule_set_version,
            "subject_kind": self.subject_kind.value,
            "subject": self.subject,
            "typology_scores": dict(self.typology_scores),
        }


def _json(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value


def alert_id(decision: Decision) -> str:
    """Identity of the alert a decision raises: the same on every replay.

    A customer has one alert a transaction, under whatever rules; another subject one a typology and window.
    """
    if decision.subject_kind is Subject.CUSTOMER:
        parts = ("transaction", decision.customer_id, decision.transaction_id)
    else:
        parts = (decision.subject_kind, decision.subject, f"{decision.typology}:{decision.period}")
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]

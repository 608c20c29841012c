"""The rule catalogue as values: what a YAML file says, parsed and checked."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

import orjson

from fraud_domain.rules.expressions import Expression
from fraud_domain.rules.text import Template
from fraud_domain.rules.vocabulary import Kind

HASH_LENGTH = 16


class Status(StrEnum):
    """active alerts, shadow is scored and reported but never alerts, off is not evaluated."""

    ACTIVE = "active"
    SHADOW = "shadow"
    OFF = "off"


class Key(StrEnum):
    """Whose history a rule looks at."""

    CUSTOMER = "customer"
    CARD = "card"
    DEVICE = "device"
    MERCHANT = "merchant"
    TERMINAL = "terminal"
    IP = "ip"


EVALUATED_KEYS = frozenset({Key.CUSTOMER, Key.CARD})


class Aggregate(StrEnum):
    """What a feature computes over the earlier events of the key in its window."""

    COUNT = "count"
    SUM = "sum"
    AVG = "avg"
    STDDEV = "stddev"
    MIN = "min"
    MAX = "max"
    DISTINCT = "distinct"
    LAST = "last"
    TIME_SINCE = "time_since"
    DISTANCE = "distance"
    SPEED = "speed"


class Strength(StrEnum):
    """Weak signals never alert without a strong one, however many."""

    STRONG = "strong"
    WEAK = "weak"


class Combine(StrEnum):
    """How the weights of a typology's hits become its score."""

    NOISY_OR = "noisy_or"
    CAPPED_SUM = "capped_sum"


@dataclass(frozen=True, slots=True)
class Feature:
    """A number about the past. `window` in microseconds; `where` selects events, None takes all."""

    name: str
    aggregate: Aggregate
    field: str | None
    window: int
    where: Expression | None
    include_current: bool


@dataclass(frozen=True, slots=True)
class Parameter:
    """A named constant: its kind, and its value (a duration in microseconds, a list as a tuple)."""

    kind: Kind
    value: Any


@dataclass(frozen=True, slots=True)
class Fixture:
    """A compact history that ends in the judged transaction; built by `fixtures.build_events`."""

    name: str
    line: int
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """One question about a transaction, with everything needed to answer it and to explain the answer."""

    id: str
    version: int
    title: str
    status: Status
    key: Key
    window: int
    applies: Expression | None
    features: Mapping[str, Feature]
    parameters: Mapping[str, Parameter]
    condition: Expression
    min_history: int
    history_where: Expression | None
    observed: Expression
    threshold: Expression
    weight: int
    strength: Strength
    reason: Template
    owner: str
    rate_band: tuple[float, float] | None
    positive: tuple[Fixture, ...]
    near_miss: tuple[Fixture, ...]
    typology: str
    file: str
    line: int
    version_hash: str

    @property
    def evaluated(self) -> bool:
        """Whether the engine runs it: not off, and keyed by something the engine holds a history of."""
        return self.status is not Status.OFF and self.key in EVALUATED_KEYS


@dataclass(frozen=True, slots=True)
class Typology:
    """A named fraud scenario: the rules that speak for it and how they add up."""

    id: str
    title: str
    description: str
    combine: Combine
    owner: str
    rule_ids: tuple[str, ...]
    file: str


@dataclass(frozen=True)
class Catalogue:
    """All rules and typologies of one directory, sorted by id."""

    rules: tuple[Rule, ...]
    typologies: tuple[Typology, ...]
    _by_id: dict[str, Rule] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {rule.id: rule for rule in self.rules})

    def rule(self, rule_id: str) -> Rule:
        """The rule called `rule_id`.

        Raises:
            KeyError: there is none.
        """
        return self._by_id[rule_id]

    @cached_property
    def version(self) -> str:
        """Content hash over everything that can change a decision; comments, owners and fixtures do not."""
        return content_hash(
            {
                "rules": {rule.id: rule.version_hash for rule in self.rules},
                "typologies": {t.id: [t.combine, sorted(t.rule_ids)] for t in self.typologies},
            }
        )


def content_hash(content: object) -> str:
    """Hex digest of a JSON-like value, independent of key order."""
    canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(canonical).hexdigest()[:HASH_LENGTH]

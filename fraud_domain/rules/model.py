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
from fraud_domain.rules.vocabulary import Kind, Origin

HASH_LENGTH = 16


class Status(StrEnum):
    """active alerts, shadow is scored and reported but never alerts, off is not evaluated."""

    ACTIVE = "active"
    SHADOW = "shadow"
    OFF = "off"


class Subject(StrEnum):
    """Whom a decision is about; each has histories and an engine of its own."""

    CUSTOMER = "customer"
    DEVICE = "device"
    MERCHANT = "merchant"
    TERMINAL = "terminal"
    IP = "ip"

    @property
    def field(self) -> str:
        """The contract field that names the subject."""
        return "ip_address" if self is Subject.IP else f"{self.value}_id"


class Key(StrEnum):
    """Whose history a rule looks at."""

    CUSTOMER = "customer"
    CARD = "card"
    DEVICE = "device"
    MERCHANT = "merchant"
    TERMINAL = "terminal"
    IP = "ip"

    @property
    def subject(self) -> Subject:
        """Whom the rule speaks about: a card's rules speak about its customer."""
        return Subject.CUSTOMER if self is Key.CARD else Subject(self.value)


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
    SHARE = "share"
    SEQUENCE = "sequence"


class Strength(StrEnum):
    """Weak signals never alert without a strong one, however many."""

    STRONG = "strong"
    WEAK = "weak"


class Combine(StrEnum):
    """How the weights of a typology's hits become its score."""

    NOISY_OR = "noisy_or"
    CAPPED_SUM = "capped_sum"


class Purpose(StrEnum):
    """What a list is for; rules decide what follows."""

    ALLOW = "allow"
    BLOCK = "block"
    WATCH = "watch"


@dataclass(frozen=True, slots=True)
class EntityList:
    """A list: values, each with the epoch microseconds at which it ends, or None."""

    id: str
    purpose: Purpose
    entries: tuple[tuple[str, int | None], ...]

    def holds(self, value: str | None, moment: int) -> bool:
        """Whether `value` is on the list at `moment`."""
        return any(value == each and (until is None or moment < until) for each, until in self.entries)


@dataclass(frozen=True, slots=True)
class Feature:
    """A number about the past. `window` in microseconds; `where` selects events, None takes all.

    `of` names the events it is about; `when` is what a share is the share of.
    """

    name: str
    aggregate: Aggregate
    field: str | None
    window: int
    where: Expression | None
    include_current: bool
    of: Origin = Origin.TRANSACTIONS
    when: Expression | None = None


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
        """Whether an engine runs it."""
        return self.status is not Status.OFF


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
    lists: tuple[EntityList, ...] = ()
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
    def subjects(self) -> tuple[Subject, ...]:
        """Whom these rules decide about: customers always, others when a rule asks for them."""
        asked = {rule.key.subject for rule in self.rules if rule.evaluated}
        return tuple(subject for subject in Subject if subject in asked or subject is Subject.CUSTOMER)

    def origins(self, subject: Subject) -> tuple[Origin, ...]:
        """What the rules about `subject` look at, transactions first."""
        rules = [rule for rule in self.rules if rule.evaluated and rule.key.subject is subject]
        asked = {feature.of for rule in rules for feature in rule.features.values()}
        return tuple(origin for origin in Origin if origin in asked or origin is Origin.TRANSACTIONS)

    @cached_property
    def version(self) -> str:
        """Content hash over everything that can change a decision; comments, owners and fixtures do not."""
        return content_hash(
            {
                "rules": {rule.id: rule.version_hash for rule in self.rules},
                "typologies": {t.id: [t.combine, sorted(t.rule_ids)] for t in self.typologies},
                "lists": {each.id: sorted(each.entries, key=str) for each in self.lists},
            }
        )


def content_hash(content: object) -> str:
    """Hex digest of a JSON-like value, independent of key order."""
    canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(canonical).hexdigest()[:HASH_LENGTH]

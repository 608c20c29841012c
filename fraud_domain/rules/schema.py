"""The shape of a rule file, as pydantic models; the JSON Schema that editors use is generated from them.

`python -m fraud_domain.rules` writes it anew; a test compares the two.
What a file means (names, kinds, references) is checked by `loader.py`.
"""

import json
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from fraud_domain.rules.durations import PATTERN
from fraud_domain.rules.model import Aggregate, Combine, Key, Status, Strength
from fraud_domain.rules.vocabulary import Origin

RuleId = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2,6}-[1-9][0-9]*$")]
TypologyId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{2,40}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
Span = Annotated[str, StringConstraints(pattern=PATTERN)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]


def _expression(value: object) -> object:
    """`threshold: 3` is as good as `threshold: "3"`."""
    return str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


Expression = Annotated[
    Line, BeforeValidator(_expression), WithJsonSchema({"type": ["string", "number"], "description": "An expression"})
]


def _parameter(value: object) -> object:
    if isinstance(value, bool) or value is None:
        raise ValueError("a parameter is a number, a text, a duration such as 90d, a list, or a table of numbers")
    return value


ParameterValue = Annotated[
    Any,
    BeforeValidator(_parameter),
    WithJsonSchema(
        {
            "description": "A number, a text, a duration such as 90d, a list, or a table of numbers",
            "anyOf": [
                {"type": ["number", "string"]},
                {"type": "array", "minItems": 1, "items": {"type": ["number", "string"]}},
                {"type": "object", "additionalProperties": {"type": "number"}, "minProperties": 1},
            ],
        }
    ),
]


class Part(BaseModel):
    """Base of every part of a rule file: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_enum_values=False)


class FeaturePart(Part):
    """A number about the earlier events of the rule's key."""

    aggregate: Annotated[Aggregate, Field(description="What is computed")]
    field: Annotated[str | None, Field(description="Field it is computed of; none for count and time_since")] = None
    window: Annotated[Span | None, Field(description="Event-time window (t-w, t]; default the rule's")] = None
    where: Annotated[
        Expression | None, Field(description="Which earlier events count: their fields, current.<field>")
    ] = None
    include_current: Annotated[bool, Field(description="Also count the judged transaction, if `where` holds")] = False
    of: Annotated[Origin, Field(description="Which events: transactions, labels or account_events of the key")] = (
        Origin.TRANSACTIONS
    )
    when: Annotated[Expression | None, Field(description="Of a share: what the counted events have in common")] = None


class EventsPart(Part):
    """Earlier events of a fixture: one, or `repeat` of them, the first `ago` before the judged transaction."""

    model_config = ConfigDict(extra="allow", frozen=True)

    ago: Annotated[Span, Field(description="How long before the judged transaction the first one happened")]
    repeat: Annotated[int, Field(ge=1, le=500)] = 1
    every: Annotated[Span | None, Field(description="Distance between repetitions")] = None
    profile: str | None = None


class FixturePart(Part):
    """A compact history that ends in the judged transaction. Contract fields only; null means missing."""

    name: Annotated[Line, Field(description="What happens, in words")]
    profile: Annotated[str, Field(description="Default fields: pos, online, pix, atm")] = "pos"
    time: Annotated[str | None, Field(description="When the judged transaction happens, ISO-8601 with offset")] = None
    base: Annotated[dict[str, Any], Field(description="Fields of every event")] = {}
    history: list[EventsPart] = []
    labels: Annotated[list[EventsPart], Field(description="Labels of the subject, by when they became known")] = []
    account_events: Annotated[list[EventsPart], Field(description="Account events of the subject")] = []
    event: Annotated[dict[str, Any], Field(description="Fields of the judged transaction")]
    abstains: Annotated[bool, Field(description="Near miss because the history is too short")] = False


class FixturesPart(Part):
    """Examples that prove a rule: it must hit every positive and no near miss."""

    positive: Annotated[list[FixturePart], Field(min_length=1)]
    near_miss: Annotated[list[FixturePart], Field(min_length=1)]


class RulePart(Part):
    """One question about a transaction."""

    id: RuleId
    version: Annotated[int, Field(ge=1, description="Raise it with every change of meaning")]
    title: Line
    status: Status
    key: Annotated[Key, Field(description="Whose history is looked at")]
    window: Annotated[Span, Field(description="Event-time window (t-w, t]")]
    applies: Annotated[
        Expression | None, Field(description="If false the rule does not apply: neither hit nor abstain")
    ] = None
    features: dict[Name, FeaturePart] = {}
    parameters: dict[Name, ParameterValue] = {}
    condition: Annotated[Expression, Field(description="Hit when true")]
    min_history: Annotated[int, Field(ge=0, description="With fewer earlier events the rule abstains")] = 0
    history_where: Annotated[
        Expression | None, Field(description="Which earlier events count for min_history and n")
    ] = None
    observed: Annotated[Expression, Field(description="What was seen, reported in the alert")]
    threshold: Annotated[Expression, Field(description="The limit in force, reported in the alert")]
    weight: Annotated[int, Field(ge=0, le=100)]
    strength: Annotated[Strength, Field(description="weak never alerts without a strong rule")] = Strength.STRONG
    reason: Annotated[Line, Field(description="Sentence with {expression:format} placeholders")]
    owner: Line
    rate_band: Annotated[
        tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] | None,
        Field(description="Expected share of transactions that hit, lower and upper"),
    ] = None
    fixtures: FixturesPart


class TypologyPart(Part):
    """A fraud scenario that the rules of this file, and those included, speak for."""

    id: TypologyId
    title: Line
    combine: Combine
    owner: Line
    description: Line
    includes: Annotated[list[RuleId], Field(description="Rules defined in other files that count here too")] = []


class RuleFile(Part):
    """One file of the catalogue."""

    typology: TypologyPart
    rules: list[RulePart] = []


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a rule file."""
    schema = RuleFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text() -> str:
    """The schema as the file `rules/rules.schema.json` holds it."""
    return json.dumps(json_schema(), indent=2) + "\n"

"""One rule of a file as a `Rule`: expressions parsed, durations and parameters turned into values."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

from fraud_domain.rules.compiler import literal_kind
from fraud_domain.rules.durations import is_duration, parse_duration
from fraud_domain.rules.errors import ExpressionError, Problem
from fraud_domain.rules.expressions import Expression, parse_expression
from fraud_domain.rules.lists import PREFIX
from fraud_domain.rules.model import EntityList, Feature, Fixture, Parameter, Rule, content_hash
from fraud_domain.rules.schema import FeaturePart, FixturePart, RulePart
from fraud_domain.rules.text import Template, parse_template
from fraud_domain.rules.vocabulary import Kind
from fraud_domain.rules.yaml_source import Path, Source

T = TypeVar("T")
_WITHOUT_EFFECT = {"fixtures", "owner", "rate_band"}


class _Reader:
    """Reads parts of one rule, collecting problems instead of stopping at the first."""

    def __init__(self, source: Source, path: Path, problems: list[Problem]) -> None:
        self._source, self._path, self._problems = source, path, problems

    def attempt(self, place: Path, function: Callable[[], T]) -> T | None:
        try:
            return function()
        except ExpressionError as error:
            path = (*self._path, *place)
            self._problems.append(self._source.problem(path, f"{'.'.join(map(str, place))}: {error}"))
            return None

    def expression(self, place: Path, text: str | None) -> Expression | None:
        return None if text is None else self.attempt(place, lambda: parse_expression(text))


def read_rule(
    source: Source,
    index: int,
    part: RulePart,
    typology: str,
    lists: Mapping[str, EntityList],
    problems: list[Problem],
) -> Rule | None:
    """The rule at `rules[index]` of `source`, or None after adding what is wrong to `problems`."""
    before = len(problems)
    reader = _Reader(source, ("rules", index), problems)
    window = parse_duration(part.window)
    features = {name: _feature(reader, name, feature, window) for name, feature in part.features.items()}
    parameters = {
        name: reader.attempt(("parameters", name), partial(parameter, value, lists))
        for name, value in part.parameters.items()
    }
    condition = reader.expression(("condition",), part.condition)
    applies = reader.expression(("applies",), part.applies)
    history_where = reader.expression(("history_where",), part.history_where)
    observed = reader.expression(("observed",), part.observed)
    threshold = reader.expression(("threshold",), part.threshold)
    reason: Template | None = reader.attempt(("reason",), lambda: parse_template(part.reason))
    if len(problems) > before or condition is None or observed is None or threshold is None or reason is None:
        return None
    return Rule(
        id=part.id,
        version=part.version,
        title=part.title,
        status=part.status,
        key=part.key,
        window=window,
        applies=applies,
        features=features,
        parameters={name: value for name, value in parameters.items() if value is not None},
        condition=condition,
        min_history=part.min_history,
        history_where=history_where,
        observed=observed,
        threshold=threshold,
        weight=part.weight,
        strength=part.strength,
        reason=reason,
        owner=part.owner,
        rate_band=part.rate_band,
        positive=_fixtures(source, index, "positive", part.fixtures.positive),
        near_miss=_fixtures(source, index, "near_miss", part.fixtures.near_miss),
        typology=typology,
        file=source.name,
        line=source.lines.get(("rules", index), 1),
        version_hash=content_hash(part.model_dump(mode="python", exclude=_WITHOUT_EFFECT)),
    )


def _feature(reader: _Reader, name: str, part: FeaturePart, window: int) -> Feature:
    where = reader.expression(("features", name, "where"), part.where)
    span = parse_duration(part.window) if part.window else window
    when = reader.expression(("features", name, "when"), part.when)
    return Feature(name, part.aggregate, part.field, span, where, part.include_current, part.of, when)


def parameter(value: Any, lists: Mapping[str, EntityList]) -> Parameter:
    """A parameter value as written in YAML; a text like `90d` is a duration, `list:name` a list that people keep.

    Raises:
        ExpressionError: a list of mixed kinds, a table of something else than numbers, or no such list.
    """
    if isinstance(value, str) and value.startswith(PREFIX):
        name = value.removeprefix(PREFIX)
        if name not in lists:
            raise ExpressionError(f"there is no list '{name}' in lists.yaml; there are: {', '.join(lists) or 'none'}")
        return Parameter(Kind.LIST, lists[name])
    if isinstance(value, str) and is_duration(value):
        return Parameter(Kind.DURATION, parse_duration(value))
    if isinstance(value, dict):
        if not value or not all(isinstance(each, int | Decimal) for each in value.values()):
            raise ExpressionError("a table must hold numbers, at least one")
        return Parameter(Kind.TABLE, value)
    plain = tuple(value) if isinstance(value, list) else value
    return Parameter(literal_kind(plain), plain)


def _fixtures(source: Source, index: int, group: str, parts: list[FixturePart]) -> tuple[Fixture, ...]:
    path = ("rules", index, "fixtures", group)
    return tuple(
        Fixture(part.name, source.lines.get((*path, number), 1), part.model_dump(mode="python"))
        for number, part in enumerate(parts)
    )

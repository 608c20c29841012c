"""Does a rule make sense: names and kinds of its expressions, its key, its fixtures' fields."""

from collections.abc import Callable
from functools import partial
from typing import Any

from fraud_domain.rules.compiler import Constants
from fraud_domain.rules.errors import ExpressionError, Problem
from fraud_domain.rules.features import FeaturePlan, feature_kind
from fraud_domain.rules.fixtures import FixtureError, build_events, build_notes
from fraud_domain.rules.layout import Reads
from fraud_domain.rules.model import Rule
from fraud_domain.rules.program import RuleCompiler
from fraud_domain.rules.vocabulary import FIELDS, RESERVED
from fraud_domain.rules.yaml_source import Path, Source


def check_rule(source: Source, index: int, rule: Rule) -> list[Problem]:
    """Every defect of `rule`, which stands at `rules[index]` of `source`."""
    problems: list[Problem] = []

    def report(place: Path, message: str) -> None:
        problems.append(source.problem(("rules", index, *place), f"{rule.id} {'.'.join(map(str, place))}: {message}"))

    def attempt(place: Path, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except ExpressionError as error:
            report(place, str(error))
            return None

    _check_names(rule, report)
    compiler = _compiler(rule)
    _check_expressions(rule, compiler, attempt)
    for group, fixtures in (("positive", rule.positive), ("near_miss", rule.near_miss)):
        for number, fixture in enumerate(fixtures):
            try:
                build_events(fixture)
                build_notes(fixture)
            except FixtureError as error:
                report(("fixtures", group, number), str(error))
    return problems


def _compiler(rule: Rule) -> RuleCompiler:
    reads = Reads()
    return RuleCompiler(rule, FeaturePlan(Constants(), reads.past, reads.current), reads)


def _check_names(rule: Rule, report: Callable[[Path, str], None]) -> None:
    for group, names in (("features", rule.features), ("parameters", rule.parameters)):
        for name in names:
            if name in FIELDS:
                report((group, name), f"'{name}' is a field of the transaction; choose another name")
            elif name in RESERVED:
                report((group, name), f"'{name}' has a meaning of its own; choose another name")
    for name in rule.features.keys() & rule.parameters.keys():
        report(("parameters", name), f"'{name}' is a feature already")


def _check_expressions(rule: Rule, compiler: RuleCompiler, attempt: Callable[[Path, Callable[[], Any]], Any]) -> None:
    parameters = compiler.parameters()
    here = {**compiler.fields(), **parameters}
    features = {}
    for name, feature in rule.features.items():
        place: Path = ("features", name)
        if feature.where is not None and feature.where.source:
            place = ("features", name, "where") if attempt(place, partial(feature_kind, feature)) else place
        code = attempt(place, partial(compiler.plan.feature, rule.key, feature, parameters))
        if code is not None:
            features[name] = code
    if len(features) < len(rule.features):
        return
    symbols = {**here, **features}
    shown = compiler.reported_symbols(symbols)
    if rule.applies is not None:
        attempt(("applies",), lambda: compiler.condition(rule.applies, here))  # type: ignore[arg-type]
    attempt(("history_where",), compiler.history_count)
    attempt(("condition",), lambda: compiler.condition(rule.condition, symbols))
    attempt(("observed",), lambda: compiler.value(rule.observed, shown))
    attempt(("threshold",), lambda: compiler.value(rule.threshold, shown))
    attempt(("reason",), lambda: compiler.text(rule.reason, shown))
    _check_unused(rule, attempt)


def _check_unused(rule: Rule, attempt: Callable[[Path, Callable[[], Any]], Any]) -> None:
    """A feature or parameter that nothing reads is most likely a typing mistake elsewhere."""
    text = " ".join(
        [
            rule.condition.source,
            rule.observed.source,
            rule.threshold.source,
            rule.reason.source,
            rule.applies.source if rule.applies else "",
            rule.history_where.source if rule.history_where else "",
            *(f.where.source for f in rule.features.values() if f.where),
            *(f.when.source for f in rule.features.values() if f.when),
        ]
    )
    words = set("".join(c if c.isalnum() or c == "_" else " " for c in text).split())

    def unused(name: str) -> None:
        raise ExpressionError(f"'{name}' is never used")

    for group, names in (("features", rule.features), ("parameters", rule.parameters)):
        for name in names:
            if name not in words:
                attempt((group, name), partial(unused, name))

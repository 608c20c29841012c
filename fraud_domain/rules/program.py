"""The whole catalogue as one generated Python function, compiled once.

`evaluate(cur, times, rows, hi, card_times, card_rows, card_hi, ..., history, hits, abstained)`, three arguments for
each place where earlier events stand, appends to `hits` a tuple (rule index, history size, observed, threshold, text)
for every rule that hits and to `abstained` the id of every rule without enough history.
Pieces that several rules need are computed once and only when reached.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fraud_domain.rules import aggregates
from fraud_domain.rules.compiler import Code, Constants, Scope, compile_condition, compile_expression, field_code
from fraud_domain.rules.errors import ExpressionError
from fraud_domain.rules.expressions import Expression
from fraud_domain.rules.features import FeaturePlan
from fraud_domain.rules.layout import Layout, Reads
from fraud_domain.rules.model import Key, Parameter, Rule
from fraud_domain.rules.text import DEFAULT_FORMAT, Placeholder, Template, format_of, render, reported
from fraud_domain.rules.vocabulary import FIELDS, Kind, Origin

Evaluate = Callable[..., None]
_PLACES = ("", "card_", *(f"{origin.value}_" for origin in Origin if origin is not Origin.TRANSACTIONS))
_ARGUMENTS = ", ".join(["cur", *(f"{p}times, {p}rows, {p}hi" for p in _PLACES), "history", "hits", "abstained"])


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled catalogue; `source` is for people who debug it."""

    layout: Layout
    source: str
    evaluate: Evaluate


@dataclass(slots=True)
class RuleCompiler:
    """Compiles the parts of one rule against a plan; the loader uses it to check, the program to generate."""

    rule: Rule
    plan: FeaturePlan
    reads: Reads

    def fields(self) -> dict[str, Code]:
        """The current transaction's fields."""
        return {name: field_code(f"c_{name}", field) for name, field in FIELDS.items()}

    def parameters(self) -> dict[str, Code]:
        """The rule's named constants."""
        return {name: _parameter(p, self.plan.constants) for name, p in self.rule.parameters.items()}

    def features(self) -> dict[str, Code]:
        """The rule's features.

        Raises:
            ExpressionError: one is not well formed.
        """
        parameters = self.parameters()
        return {name: self.plan.feature(self.rule.key, f, parameters) for name, f in self.rule.features.items()}

    def condition(self, expression: Expression, symbols: Mapping[str, Code]) -> str:
        """Source of a yes/no expression."""
        return self._compiled(expression, symbols, compile_condition).text

    def value(self, expression: Expression, symbols: Mapping[str, Code]) -> str:
        """Source of a value to report."""
        code = self._compiled(expression, symbols, compile_expression)
        if code.kind not in DEFAULT_FORMAT:
            raise ExpressionError(f"'{expression.source}' is a {code.kind} and cannot be reported")
        if code.kind in (Kind.TEXT, Kind.FLAG):
            return code.text
        return f"reported({code.text}, {code.kind.value!r})"

    def text(self, template: Template, symbols: Mapping[str, Code]) -> str:
        """Source of the rendered reason."""
        parts = []
        for part in template.parts:
            if isinstance(part, Placeholder):
                code = self._compiled(part.expression, symbols, compile_expression)
                parts.append(f"render({format_of(part, code.kind)!r}, {code.text})")
            else:
                parts.append(repr(part))
        return " + ".join(parts)

    def reported_symbols(self, symbols: Mapping[str, Code]) -> dict[str, Code]:
        """What `observed`, `threshold` and `reason` may use besides: the history size and the window."""
        return {
            **symbols,
            "n": Code("n", Kind.NUMBER, simple=True),
            "window": Code(str(self.rule.window), Kind.DURATION, simple=True),
        }

    def history_count(self) -> str:
        """Source of the number of earlier events the rule may judge on."""
        rule = self.rule
        return self.plan.history_count(rule.key, rule.window, rule.history_where, self.parameters())

    def _compiled(
        self, expression: Expression, symbols: Mapping[str, Code], function: Callable[[Expression, Scope], Code]
    ) -> Code:
        scope = Scope(symbols, self.plan.constants)
        code = function(expression, scope)
        for name in scope.used & FIELDS.keys():
            self.reads.current(name)
        return code


def build_program(rules: tuple[Rule, ...], busy: bool = False) -> Program:
    """Generate and compile the function that evaluates `rules`, in this order; `busy` as in `FeaturePlan`.

    Raises:
        ExpressionError: a rule was not checked by the loader.
    """
    discovered = Reads()
    _generate(rules, busy, discovered, Constants())
    layout, constants = discovered.layout(), Constants()
    source = _generate(rules, busy, Reads(layout), constants, layout)
    namespace: dict[str, Any] = {
        **constants.values,
        "U": object(),
        "bisect_right": bisect_right,
        "render": render,
        "reported": reported,
        **{name: getattr(aggregates, name) for name in _RUN_TIME},
    }
    exec(compile(source, "<rule program>", "exec"), namespace)  # noqa: S102 - from whitelisted syntax only
    return Program(layout, source, namespace["evaluate"])


_RUN_TIME = (
    "divide",
    "remainder",
    "values_of",
    "mean",
    "deviation",
    "minimum",
    "maximum",
    "falling",
    "travelled",
    "pace",
)


def _generate(
    rules: tuple[Rule, ...], busy: bool, reads: Reads, constants: Constants, layout: Layout | None = None
) -> str:
    plan = FeaturePlan(constants, reads.past, reads.current, busy)
    reads.current("event_time")
    body: list[str] = []
    for index, rule in enumerate(rules):
        body += _rule_source(index, RuleCompiler(rule, plan, reads))
    names = layout.names if layout else ()
    head = [f"def evaluate({_ARGUMENTS}):", f"    ({''.join(f'c_{name}, ' for name in names)}) = cur"]
    if plan.lazies:
        head.append(f"    {' = '.join(plan.lazies.values())} = U")
    helpers = [body for _, body in plan.helpers.values()]
    return "\n".join([*helpers, *head, *body, ""])


def _rule_source(index: int, compiler: RuleCompiler) -> list[str]:
    rule = compiler.rule
    symbols = {**compiler.fields(), **compiler.parameters(), **compiler.features()}
    shown = compiler.reported_symbols(symbols)
    tests = ["c_card_token is not None"] if rule.key is Key.CARD else []
    if rule.applies:
        tests.append(compiler.condition(rule.applies, {**compiler.fields(), **compiler.parameters()}))
    if rule.key is Key.CARD:
        compiler.reads.current("card_token")
    count, condition = compiler.history_count(), compiler.condition(rule.condition, symbols)
    hit = (
        f"hits.append(({index}, n, {compiler.value(rule.observed, shown)}, "
        f"{compiler.value(rule.threshold, shown)}, {compiler.text(rule.reason, shown)}))"
    )
    lines = [f"    if {' and '.join(tests) or 'True'}:  # {rule.id}"]
    if rule.min_history:
        lines += [
            f"        n = {count}",
            f"        if n < {rule.min_history}: abstained.append({rule.id!r})",
            f"        elif {condition}: {hit}",
        ]
    else:
        lines += [f"        if {condition}:", f"            n = {count}", f"            {hit}"]
    return lines


def _parameter(parameter: Parameter, constants: Constants) -> Code:
    known = parameter.value if parameter.kind not in (Kind.DURATION, Kind.TABLE, Kind.LIST) else None
    return Code(constants.add(parameter.value), parameter.kind, simple=True, known=known)

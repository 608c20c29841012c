"""Which rules can never speak when some contract fields stay empty: read from the rules themselves.

An expression is followed with missing fields: a comparison with a missing value is false, so is a missing
flag; an average of nothing is missing, a count of nothing is zero. What cannot be decided counts as possible.
"""

import ast
from collections.abc import Collection
from dataclasses import dataclass

from fraud_domain.rules import Catalogue, Origin, Rule
from fraud_domain.rules.model import Aggregate, Feature, Key
from fraud_domain.rules.vocabulary import DERIVED

_ZERO = {Aggregate.COUNT, Aggregate.SUM, Aggregate.DISTINCT, Aggregate.SEQUENCE}
_PLACED = {Aggregate.DISTANCE, Aggregate.SPEED}
_NEEDS_MORE = (ast.Gt, ast.GtE)
_NEVER_DERIVED = {"card_present": ("entry_mode",)}
"""Derived flags that are false, not missing, without their input."""


@dataclass(frozen=True, slots=True)
class Silent:
    """A rule that cannot speak, and the empty fields that it reads."""

    rule_id: str
    title: str
    fields: tuple[str, ...]


def silent_rules(catalogue: Catalogue, empty: Collection[str]) -> list[Silent]:
    """Rules that can never hit while `empty` contract fields are missing in every transaction."""
    return [
        Silent(rule.id, rule.title, tuple(sorted(reads(rule) & set(empty))))
        for rule in catalogue.rules
        if rule.evaluated and not _Speech(rule, frozenset(empty)).possible()
    ]


def reads(rule: Rule) -> set[str]:
    """Contract fields that decide whether a rule hits."""
    names = {_key_field(rule.key)}
    expressions = [rule.applies, rule.condition, rule.history_where]
    for feature in rule.features.values():
        expressions += [feature.where, feature.when]
        names |= {feature.field} if feature.field else set()
        names |= {"latitude", "longitude"} if feature.aggregate in _PLACED else set()
    for expression in expressions:
        nodes = ast.walk(expression.tree) if expression else ()
        names |= {n.id if isinstance(n, ast.Name) else n.attr for n in nodes if isinstance(n, ast.Name | ast.Attribute)}
    return {part for name in names for part in (DERIVED[name].inputs if name in DERIVED else (name,))}


def _key_field(key: Key) -> str:
    return "card_token" if key is Key.CARD else key.subject.field


class _Speech:
    def __init__(self, rule: Rule, empty: frozenset[str]) -> None:
        self._rule = rule
        derived = {name for name, field in DERIVED.items() if field.field.nullable and empty & set(field.inputs)}
        self._empty = empty | derived
        self._never = {name for name, needs in _NEVER_DERIVED.items() if empty & set(needs)}
        self._gone: set[str] = set()
        self._zero: set[str] = set()
        for name, feature in rule.features.items():
            self._judge(name, feature)

    def possible(self) -> bool:
        """Whether the rule can hit at all."""
        rule = self._rule
        if _key_field(rule.key) in self._empty:
            return False
        if rule.min_history and rule.history_where and not self._true(rule.history_where.tree):
            return False
        return all(self._true(e.tree) for e in (rule.applies, rule.condition) if e is not None)

    def _judge(self, name: str, feature: Feature) -> None:
        if feature.of is not Origin.TRANSACTIONS:
            return
        nothing = feature.where is not None and not self._true(feature.where.tree)
        nothing = nothing or (feature.field in self._empty)
        nothing = nothing or (feature.aggregate in _PLACED and bool({"latitude", "longitude"} & self._empty))
        if nothing and not (feature.include_current and feature.field is None):
            (self._zero if feature.aggregate in _ZERO else self._gone).add(name)

    def _missing(self, node: ast.expr) -> bool:
        """Whether a value is always missing."""
        match node:
            case ast.Name(id=name):
                return name in self._empty or name in self._gone
            case ast.Attribute(attr=name):
                return name in self._empty
            case ast.BinOp(left=left, right=right):
                return self._missing(left) or self._missing(right)
            case ast.Call(args=args):
                return any(self._missing(arg) for arg in args)
            case ast.Subscript(slice=key):
                return self._missing(key)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._missing(operand)
            case ast.IfExp(body=body, orelse=orelse):
                return self._missing(body) and self._missing(orelse)
        return False

    def _true(self, node: ast.expr) -> bool:
        """Whether a condition can hold."""
        match node:
            case ast.BoolOp(op=ast.And(), values=values):
                return all(self._true(value) for value in values)
            case ast.BoolOp(values=values):
                return any(self._true(value) for value in values)
            case ast.Name(id=name) if name in self._never:
                return False
            case ast.Compare(left=left, ops=ops, comparators=others):
                sides = [left, *others]
                return all(self._compares(op, a, b) for op, a, b in zip(ops, sides, others, strict=False))
        return not self._missing(node)

    def _compares(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> bool:
        if isinstance(op, ast.Is):
            return True
        if self._missing(left) or self._missing(right):
            return False
        if isinstance(left, ast.Name) and left.id in self._zero and isinstance(op, _NEEDS_MORE):
            return not (isinstance(right, ast.Name) and self._positive(right.id))
        return True

    def _positive(self, name: str) -> bool:
        parameter = self._rule.parameters.get(name)
        return parameter is not None and not isinstance(parameter.value, tuple | dict) and parameter.value > 0

"""From features to source: every shared piece (window bound, selection, values, aggregate) computed once, lazily.

A piece is a local variable of the generated function that starts as `U` (unset) and is filled where it is
first needed. Two rules that ask the same thing get the same variable.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fraud_domain.rules.compiler import Code, Constants, Scope, compile_condition, field_code
from fraud_domain.rules.errors import ExpressionError
from fraud_domain.rules.expressions import Expression
from fraud_domain.rules.model import Aggregate, Feature, Key
from fraud_domain.rules.vocabulary import FIELDS, ORIGIN_FIELDS, Kind, Origin

_WITH_FIELD = {
    Aggregate.SUM: frozenset({Kind.NUMBER}),
    Aggregate.AVG: frozenset({Kind.NUMBER}),
    Aggregate.STDDEV: frozenset({Kind.NUMBER}),
    Aggregate.MIN: frozenset({Kind.NUMBER, Kind.TIME}),
    Aggregate.MAX: frozenset({Kind.NUMBER, Kind.TIME}),
    Aggregate.DISTINCT: frozenset({Kind.NUMBER, Kind.TEXT, Kind.TIME}),
    Aggregate.LAST: frozenset({Kind.NUMBER, Kind.TEXT, Kind.TIME, Kind.FLAG}),
    Aggregate.SEQUENCE: frozenset({Kind.NUMBER, Kind.TIME}),
}
_LATEST = frozenset({Aggregate.LAST, Aggregate.TIME_SINCE, Aggregate.DISTANCE, Aggregate.SPEED})
_RESULT = {Aggregate.TIME_SINCE: Kind.DURATION}
_NEVER_MISSING = frozenset({Aggregate.COUNT, Aggregate.SUM, Aggregate.DISTINCT, Aggregate.SEQUENCE})
_FUNCTIONS = {
    Aggregate.AVG: "mean",
    Aggregate.STDDEV: "deviation",
    Aggregate.MIN: "minimum",
    Aggregate.MAX: "maximum",
    Aggregate.SEQUENCE: "falling",
}
_PLACES = {Aggregate.DISTANCE: "travelled", Aggregate.SPEED: "pace"}


def feature_kind(feature: Feature) -> Kind:
    """Kind of the feature's value.

    Raises:
        ExpressionError: aggregate, field and include_current do not go together.
    """
    name, aggregate, fields = feature.field, feature.aggregate, ORIGIN_FIELDS[feature.of]
    if feature.of is not Origin.TRANSACTIONS and (feature.include_current or aggregate in _PLACES):
        raise ExpressionError(f"{feature.of} have no current event and no place")
    if (aggregate is Aggregate.SHARE) != (feature.when is not None):
        raise ExpressionError("'share' needs 'when', and nothing else takes it")
    if feature.include_current and aggregate in _LATEST:
        raise ExpressionError(f"'{aggregate}' looks back from the current event; include_current makes no sense")
    allowed = _WITH_FIELD.get(aggregate)
    if allowed is None:
        if name is not None and aggregate is not Aggregate.COUNT:
            raise ExpressionError(f"'{aggregate}' takes no field")
        if name is not None and name not in fields:
            raise ExpressionError(f"unknown field '{name}'")
        return _RESULT.get(aggregate, Kind.NUMBER)
    if name is None:
        raise ExpressionError(f"'{aggregate}' needs a field")
    if name not in fields:
        raise ExpressionError(f"unknown field '{name}'")
    kind = fields[name].kind
    if kind not in allowed:
        raise ExpressionError(f"'{aggregate}' cannot be taken of {name}, a {kind}")
    return kind if aggregate in (Aggregate.MIN, Aggregate.MAX, Aggregate.LAST) else Kind.NUMBER


@dataclass(slots=True)
class FeaturePlan:
    """Collects the pieces and helper functions that the features of one program need.

    `past(name)` and `current(name)` say where a field stands in an earlier and in the current row. `busy`: a subject
    has many events, so those that pass a test which does not ask about the current one are kept (`History.passing`).
    """

    constants: Constants
    past: Callable[[str], int]
    current: Callable[[str], int]
    busy: bool = False
    lazies: dict[object, str] = field(default_factory=dict)
    helpers: dict[object, tuple[str, str]] = field(default_factory=dict)

    def lazy(self, identity: object, code: str) -> str:
        """Source that yields `code`, evaluated at most once for `identity`."""
        name = self.lazies.setdefault(identity, f"v{len(self.lazies)}")
        return f"({name} if {name} is not U else ({name} := {code}))"

    def feature(self, key: Key, feature: Feature, parameters: Mapping[str, Code]) -> Code:
        """Source of a feature's value for the current transaction.

        Raises:
            ExpressionError: the feature is not well formed.
        """
        kind = feature_kind(feature)
        values = (
            ORIGIN_FIELDS[feature.of][feature.field].values
            if feature.aggregate is Aggregate.LAST and feature.field
            else ()
        )
        code = self._latest_value(key, feature, parameters) if feature.aggregate in _LATEST else None
        code = code or self._aggregate(key, feature, parameters)
        return Code(code, kind, nullable=feature.aggregate not in _NEVER_MISSING, values=values)

    def history_count(self, key: Key, window: int, where: Expression | None, parameters: Mapping[str, Code]) -> str:
        """Source of the number of earlier events in the window, those that satisfy `where` if given."""
        return self._count(key, Feature("n", Aggregate.COUNT, None, window, where, False), parameters)

    def _position(self, origin: Origin, name: str) -> int:
        """Where a field stands in an earlier row: transactions keep what rules read, other rows are fixed."""
        return self.past(name) if origin is Origin.TRANSACTIONS else tuple(ORIGIN_FIELDS[origin]).index(name)

    def _low(self, prefix: str, window: int) -> str:
        return self.lazy(
            ("low", prefix, window), f"bisect_right({prefix}times, c_event_time - {window}, 0, {prefix}hi)"
        )

    def _condition(self, where: Expression, parameters: Mapping[str, Code], origin: Origin) -> tuple[str, str]:
        """The test of an earlier row `r`, and the statements that bind what it needs of the current one."""
        current = {name: field_code(f"c_{name}", f) for name, f in FIELDS.items()}
        probe = Scope({**parameters, **_row_symbols(origin, lambda _: 0)}, self.constants, current)
        compile_condition(where, probe)
        used = sorted(probe.used & ORIGIN_FIELDS[origin].keys())
        positions = {name: self._position(origin, name) for name in used}
        bindings = "".join(f"    c_{name} = cur[{self.current(name)}]\n" for name in sorted(probe.used_current))
        symbols = _row_symbols(origin, lambda name: positions.get(name, 0))
        scope = Scope({**parameters, **symbols}, self.constants, current)
        return compile_condition(where, scope).text, bindings

    def _helper(self, identity: object, body: Callable[[str], str]) -> str:
        name = f"h{len(self.helpers)}"
        if identity not in self.helpers:
            self.helpers[identity] = (name, body(name))
        return self.helpers[identity][0]

    def _kept(
        self, key: Key, feature: Feature, parameters: Mapping[str, Code], *more: Expression
    ) -> tuple[str, str, str] | None:
        """Sources of the test that a feature's rows pass (and `more`), of those rows, and of where its window begins.

        None if they are not kept.
        """
        tests = [e for e in (feature.where, *more) if e is not None]
        if not self.busy or feature.of is not Origin.TRANSACTIONS or prefix_of(key, feature.of) or not tests:
            return None
        conditions = [self._condition(each, parameters, feature.of) for each in tests]
        if any(bindings for _, bindings in conditions):
            return None
        test = " and ".join(text for text, _ in conditions)
        passes = self._helper(("passes", test), lambda name: f"def {name}(r):\n    return {test}\n")
        kept = self.lazy(("kept", passes), f"history.passing({passes}, hi)")
        low = f"bisect_right({kept}[0], c_event_time - {feature.window}, 0, {kept}[2])"
        return passes, kept, self.lazy(("low", passes, feature.window), low)

    def _selection(self, key: Key, feature: Feature, parameters: Mapping[str, Code]) -> str:
        """Source of the list of rows the feature is computed over."""
        if found := self._kept(key, feature, parameters):
            passes, kept, low = found
            tail = f" + ([cur] if {passes}(cur) else [])" if feature.include_current else ""
            identity: tuple[object, ...] = ("rows", passes, feature.window, feature.include_current)
            return self.lazy(identity, f"{kept}[1][{low}:{kept}[2]]{tail}")
        prefix = prefix_of(key, feature.of)
        low = self._low(prefix, feature.window)
        tail = " + [cur]" if feature.include_current else ""
        if feature.where is None:
            return self.lazy(
                ("rows", prefix, feature.window, feature.include_current), f"{prefix}rows[{low}:{prefix}hi]{tail}"
            )
        test, bindings = self._condition(feature.where, parameters, feature.of)
        helper = self._helper(
            ("select", test, bindings, feature.include_current),
            lambda name: (
                f"def {name}(rows, low, hi, cur):\n{bindings}    return [r for r in rows[low:hi]{tail} if {test}]\n"
            ),
        )
        identity = ("rows", prefix, feature.window, helper)
        return self.lazy(identity, f"{helper}({prefix}rows, {low}, {prefix}hi, cur)")

    def _count(self, key: Key, feature: Feature, parameters: Mapping[str, Code], *more: Expression) -> str:
        if found := self._kept(key, feature, parameters, *more):
            passes, kept, low = found
            tail = f" + {passes}(cur)" if feature.include_current else ""
            return f"({kept}[2] - {low}{tail})"
        if feature.where is None:
            tail = " + 1" if feature.include_current else ""
            prefix = prefix_of(key, feature.of)
            return f"({prefix}hi - {self._low(prefix, feature.window)}{tail})"
        return f"len({self._selection(key, feature, parameters)})"

    def _aggregate(self, key: Key, feature: Feature, parameters: Mapping[str, Code]) -> str:
        if feature.aggregate is Aggregate.SHARE:
            return self._share(key, feature, parameters)
        if feature.field is None:
            return self._count(key, feature, parameters)
        selection = self._selection(key, feature, parameters)
        place = self._position(feature.of, feature.field)
        values = self.lazy(("values", selection, feature.field), f"values_of({selection}, {place})")
        match feature.aggregate:
            case Aggregate.COUNT:
                return f"len({values})"
            case Aggregate.DISTINCT:
                return self.lazy(("distinct", values), f"len(set({values}))")
            case Aggregate.SUM:
                return self.lazy(("sum", values), f"sum({values})")
        return self.lazy((feature.aggregate, values), f"{_FUNCTIONS[feature.aggregate]}({values})")

    def _share(self, key: Key, feature: Feature, parameters: Mapping[str, Code]) -> str:
        """Source of the part of the selected rows for which `when` holds, None of nothing."""
        if feature.when is None:
            raise ExpressionError("'share' needs 'when'")
        if self._kept(key, feature, parameters, feature.when):
            part, whole = self._count(key, feature, parameters, feature.when), self._count(key, feature, parameters)
            return self.lazy(("share", part, whole), f"divide({part}, {whole})")
        selection = self._selection(key, feature, parameters)
        test, bindings = self._condition(feature.when, parameters, feature.of)
        helper = self._helper(
            ("share", test, bindings),
            lambda name: (
                f"def {name}(rows, cur):\n{bindings}    return divide(len([r for r in rows if {test}]), len(rows))\n"
            ),
        )
        return self.lazy(("share", helper, selection), f"{helper}({selection}, cur)")

    def _latest_value(self, key: Key, feature: Feature, parameters: Mapping[str, Code]) -> str:
        needed = [feature.field] if feature.field else []
        if feature.aggregate in _PLACES:
            needed = ["latitude", "longitude"]
        origin, fields = feature.of, ORIGIN_FIELDS[feature.of]
        test, bindings = self._condition(feature.where, parameters, origin) if feature.where else ("", "")
        tests = [test] if test else []
        tests += [f"r[{self._position(origin, name)}] is not None" for name in needed if fields[name].nullable]
        helper = self._helper(
            ("latest", tuple(tests), bindings),
            lambda name: (
                f"def {name}(rows, low, hi, cur):\n{bindings}    for i in range(hi - 1, low - 1, -1):\n"
                f"        r = rows[i]\n        if {' and '.join(tests) or 'True'}:\n            return r\n"
                "    return None\n"
            ),
        )
        prefix = prefix_of(key, origin)
        low = self._low(prefix, feature.window)
        latest = self.lazy(
            ("latest", prefix, feature.window, helper), f"{helper}({prefix}rows, {low}, {prefix}hi, cur)"
        )
        identity = (feature.aggregate, latest, feature.field)
        if feature.aggregate in _PLACES:
            for name in ("latitude", "longitude"):
                self.current(name)
            moment = ", c_event_time" if feature.aggregate is Aggregate.SPEED else ""
            place = f"{self.past('latitude')}, {self.past('longitude')}, c_latitude, c_longitude{moment}"
            return self.lazy(identity, f"{_PLACES[feature.aggregate]}({latest}, {place})")
        place = "" if feature.field is None else f"[{self._position(origin, feature.field)}]"
        value = f"c_event_time - {latest}[0]" if feature.field is None else f"{latest}{place}"
        return self.lazy(identity, f"(None if {latest} is None else {value})")


def prefix_of(key: Key, origin: Origin) -> str:
    """Prefix of the variables that hold the earlier events of a key: the card's, or the subject's by origin."""
    if origin is not Origin.TRANSACTIONS:
        return f"{origin.value}_"
    return "card_" if key is Key.CARD else ""


def _row_symbols(origin: Origin, position: Callable[[str], int]) -> dict[str, Code]:
    return {name: field_code(f"r[{position(name)}]", f) for name, f in ORIGIN_FIELDS[origin].items()}

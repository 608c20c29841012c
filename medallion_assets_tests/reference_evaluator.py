"""The rules, evaluated slowly and plainly: the oracle that every fast evaluator is compared with.

Independent of the engine on purpose. It shares with it the loaded catalogue, the parsed syntax trees and the
wording of values; windows, features, expressions, distances, scores and levels are written anew, with no
index, no cache and no early exit: every question scans all earlier events.
"""

import ast
import math
import operator as compare
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from fraud_domain.rules.decision import Decision, Reason
from fraud_domain.rules.expressions import Expression
from fraud_domain.rules.model import Catalogue, EntityList, Feature, Rule, Subject
from fraud_domain.rules.text import Placeholder, render, reported
from fraud_domain.settings import RuleSettings

Event = dict[str, Any]
_COMPARISONS = {
    ast.Eq: compare.eq,
    ast.NotEq: compare.ne,
    ast.Lt: compare.lt,
    ast.LtE: compare.le,
    ast.Gt: compare.gt,
    ast.GtE: compare.ge,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def derive(event: Event) -> Event:
    """The event with its derived fields."""
    full = dict(event)
    zone = event.get("customer_timezone")
    moment = _EPOCH + timedelta(microseconds=event["event_time"])
    full["local_hour"] = moment.astimezone(ZoneInfo(zone)).hour if zone else None
    at_terminal = event["channel"] in ("POS", "ATM")
    full["card_present"] = at_terminal and event.get("entry_mode") in ("CHIP", "CONTACTLESS", "MAGSTRIPE")
    is_card = event["type"] in ("CREDIT_CARD", "DEBIT_CARD", "PREPAID_CARD")
    full["card_not_present"] = is_card and event["channel"] in ("ECOMMERCE", "MOBILE_APP", "WEB_BANKING", "PHONE")
    billing = (event.get("billing_latitude"), event.get("billing_longitude"))
    shipping = (event.get("shipping_latitude"), event.get("shipping_longitude"))
    full["shipping_distance_km"] = whole(kilometres(billing, shipping))
    full["home_distance_km"] = whole(kilometres(billing, (event.get("latitude"), event.get("longitude"))))
    return full


def kilometres(start: tuple[Any, Any], end: tuple[Any, Any]) -> float | None:
    """Great-circle distance by the two-argument arc tangent."""
    if None in start or None in end:
        return None
    lat1, lon1, lat2, lon2 = (math.radians(value) for value in (*start, *end))
    a = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6371.0088 * math.atan2(math.sqrt(a), math.sqrt(max(0.0, 1 - a)))


def whole(value: float | None) -> int | None:
    """Rounded to an integer."""
    return None if value is None else round(value)


def is_falling(values: list[Any]) -> bool:
    """Whether each value is below the one before it."""
    return all(later < before for before, later in pairwise(values))


@dataclass
class Question:
    """One rule asked about one transaction."""

    rule: Rule
    current: Event
    earlier: list[Event]
    notes: Mapping[str, list[Event]]

    def within(
        self, window: int, where: Expression | None, include_current: bool = False, of: str = "transactions"
    ) -> list[Event]:
        """Earlier events of the key in `(t - window, t]` that satisfy `where`, oldest first."""
        known = self.earlier if of == "transactions" else self.notes.get(of, [])
        events = [e for e in known if e["event_time"] > self.current["event_time"] - window]
        if of == "transactions" and self.rule.key == "card":
            events = [e for e in events if e.get("card_token") == self.current["card_token"]]
        if include_current:
            events.append(self.current)
        return [e for e in events if where is None or self.value(where.tree, e, {"current": self.current}) is True]

    def feature(self, feature: Feature) -> Any:
        """Value of a feature for this transaction."""
        events = self.within(feature.window, feature.where, feature.include_current, feature.of)
        now = self.current
        if feature.when is not None:
            tree = feature.when.tree
            chosen = [e for e in events if self.value(tree, e, {"current": now}) is True]
            return Decimal(len(chosen)) / Decimal(len(events)) if events else None
        if feature.aggregate in ("distance", "speed"):
            placed = [e for e in events if e.get("latitude") is not None and e.get("longitude") is not None]
            if not placed:
                return None
            last = placed[-1]
            far = kilometres((last["latitude"], last["longitude"]), (now.get("latitude"), now.get("longitude")))
            if feature.aggregate == "distance" or far is None:
                return whole(far)
            return whole(far * 3_600_000_000 / max(now["event_time"] - last["event_time"], 60_000_000))
        if feature.aggregate == "time_since":
            return now["event_time"] - events[-1]["event_time"] if events else None
        if feature.field is None:
            return len(events)
        values = [e[feature.field] for e in events if e.get(feature.field) is not None]
        return self.aggregate(feature.aggregate, values)

    @staticmethod
    def aggregate(name: str, values: list[Any]) -> Any:
        """An aggregate of values none of which is missing."""
        if name == "count":
            return len(values)
        if name == "distinct":
            return len(set(values))
        if name == "sum":
            return sum(values)
        if name == "sequence":
            runs = [n for n in range(1, len(values) + 1) if is_falling(values[-n:])]
            return max(runs, default=0)
        if not values or (name == "stddev" and len(values) < 2):
            return None
        if name == "stddev":
            exact = [Fraction(value) for value in values]
            centre = sum(exact, Fraction()) / len(exact)
            variance = sum(((value - centre) ** 2 for value in exact), Fraction()) / (len(exact) - 1)
            return (Decimal(variance.numerator) / variance.denominator).sqrt()
        simple = {"min": min, "max": max, "last": lambda v: v[-1], "avg": lambda v: sum(v, Decimal(0)) / len(v)}
        return simple[name](values)  # type: ignore[operator]

    def names(self) -> dict[str, Any]:
        """Everything `condition` and the reported texts may use besides the fields."""
        features = {name: self.feature(feature) for name, feature in self.rule.features.items()}
        n = len(self.within(self.rule.window, self.rule.history_where))
        return {**features, "n": n, "window": self.rule.window}

    def value(self, node: ast.expr, fields: Mapping[str, Any], names: Mapping[str, Any]) -> Any:
        """Value of an expression; None is a missing one."""

        def of(child: ast.expr) -> Any:
            return self.value(child, fields, names)

        match node:
            case ast.Constant(value=value):
                return Decimal(repr(value)) if isinstance(value, float) else value
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [of(item) for item in items]
            case ast.Name(id=name):
                if name in self.rule.parameters:
                    return self.rule.parameters[name].value
                return names[name] if name in names else fields.get(name)
            case ast.Attribute(attr=name):
                return names["current"].get(name)
            case ast.BoolOp(op=op, values=values):
                truths = [of(value) is True for value in values]
                return all(truths) if isinstance(op, ast.And) else any(truths)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return of(operand) is not True
            case ast.UnaryOp(operand=operand):
                value = of(operand)
                return None if value is None else -value
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return of(body) if of(test) is True else of(orelse)
            case ast.Subscript(value=table, slice=key):
                return of(table).get(of(key))
            case ast.Call(func=ast.Name(id=name), args=args):
                values = [of(arg) for arg in args]
                return None if None in values else {"min": min, "max": max, "abs": abs}[name](*values)  # type: ignore[operator]
            case ast.BinOp(left=left, op=operator, right=right):
                return self.arithmetic(operator, of(left), of(right))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                operands = [of(operand) for operand in (left, *comparators)]
                return all(self.holds(o, a, b) for o, a, b in zip(ops, operands, operands[1:], strict=False))
        raise AssertionError(f"the oracle does not know {ast.dump(node)}")

    @staticmethod
    def arithmetic(operator: ast.operator, left: Any, right: Any) -> Any:
        """The result, None when a side is missing or a divisor is zero."""
        if left is None or right is None:
            return None
        if isinstance(operator, ast.Div | ast.Mod) and right == 0:
            return None
        match operator:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.Div():
                return Decimal(left) / Decimal(right)
            case _:
                return Decimal(left) % Decimal(right)

    def holds(self, operator: ast.cmpop, left: Any, right: Any) -> bool:
        """Whether a comparison holds; with a missing value none does, except `is`."""
        if isinstance(operator, ast.Is):
            return left is None
        if isinstance(operator, ast.IsNot):
            return left is not None
        if left is None or right is None:
            return False
        if isinstance(right, EntityList):
            known = [value for value, until in right.entries if until is None or until > self.current["event_time"]]
            return (left in known) == isinstance(operator, ast.In)
        if isinstance(operator, ast.In | ast.NotIn):
            return (left in right) == isinstance(operator, ast.In)
        return bool(_COMPARISONS[type(operator)](left, right))

    def is_span(self, node: ast.expr) -> bool:
        """Whether an expression yields a duration, as far as the rules need it."""
        if isinstance(node, ast.IfExp):
            return self.is_span(node.body)
        if isinstance(node, ast.BinOp):
            spans = [self.is_span(side) for side in (node.left, node.right)]
            if isinstance(node.op, ast.Div):
                return spans == [True, False]
            return any(spans) or (isinstance(node.op, ast.Sub) and self.is_moment(node.left))
        if not isinstance(node, ast.Name):
            return False
        feature, parameter = self.rule.features.get(node.id), self.rule.parameters.get(node.id)
        return (
            node.id == "window"
            or (feature is not None and feature.aggregate == "time_since")
            or (parameter is not None and parameter.kind == "duration")
        )

    def is_moment(self, node: ast.expr) -> bool:
        """Whether an expression names a point in time."""
        return isinstance(node, ast.Name) and node.id == "event_time"

    def wording(self, node: ast.expr, value: Any) -> str:
        """Name of the default format of a value."""
        if self.is_span(node):
            return "duration"
        return "number" if isinstance(value, int | Decimal) and not isinstance(value, bool) else "plain"

    def told(self, expression: Expression, names: Mapping[str, Any]) -> Any:
        """An `observed` or `threshold` as reported."""
        value = self.value(expression.tree, self.current, names)
        kind = {"duration": "duration", "number": "number", "plain": "text"}[self.wording(expression.tree, value)]
        return reported(value, "list of texts" if isinstance(value, tuple) else kind)

    def sentence(self, names: Mapping[str, Any]) -> str:
        """The reason with its placeholders filled."""
        text = ""
        for part in self.rule.reason.parts:
            if isinstance(part, Placeholder):
                value = self.value(part.expression.tree, self.current, names)
                text += render(part.format or self.wording(part.expression.tree, value), value)
            else:
                text += part
        return text


@dataclass
class ReferenceEvaluator:
    """Same decisions as the engine, as long as nothing leaves the engine's bounded history."""

    catalogue: Catalogue
    settings: RuleSettings
    subject: Subject = Subject.CUSTOMER

    def decide(
        self,
        arrived: list[Event],
        event: Event,
        notes: Mapping[str, list[Event]] | None = None,
        raised: Collection[tuple[str | None, int]] = (),
    ) -> Decision | None:
        """Judge `event` against what arrived before it and sorts before it; None for a duplicate.

        `notes` are the labels and account events of the subject that arrived before, by origin; `raised` its
        alerts so far, as typology and window, when it is not a customer.
        """
        if any(other["transaction_id"] == event["transaction_id"] for other in arrived):
            return None
        with localcontext(Context(prec=50, rounding=ROUND_HALF_EVEN)):
            return self._decide(arrived, event, notes or {}, raised)

    def _decide(
        self,
        arrived: list[Event],
        event: Event,
        notes: Mapping[str, list[Event]],
        raised: Collection[tuple[str | None, int]],
    ) -> Decision:
        def position(e: Event) -> tuple[int, str]:
            return e["event_time"], e["transaction_id"]

        earlier = [derive(e) for e in sorted(arrived, key=position) if position(e) < position(event)]
        known = {
            origin: sorted((n for n in each if n["event_time"] <= event["event_time"]), key=lambda n: n["event_time"])
            for origin, each in notes.items()
        }
        hits: list[tuple[Rule, Any, Any, str, int]] = []
        abstained: list[str] = []
        keys = ("customer", "card") if self.subject == "customer" else (self.subject,)
        for rule in self.catalogue.rules:
            if rule.status == "off" or rule.key not in keys:
                continue
            question = Question(rule, derive(event), earlier, known)
            if rule.key == "card" and event.get("card_token") is None:
                continue
            if rule.applies and question.value(rule.applies.tree, question.current, {}) is not True:
                continue
            names = question.names()
            if names["n"] < rule.min_history:
                abstained.append(rule.id)
            elif question.value(rule.condition.tree, question.current, names) is True:
                observed, threshold = question.told(rule.observed, names), question.told(rule.threshold, names)
                hits.append((rule, observed, threshold, question.sentence(names), names["n"]))
        return self._decision(event, hits, abstained, raised)

    def _decision(
        self,
        event: Event,
        hits: list[tuple[Rule, Any, Any, str, int]],
        abstained: list[str],
        raised: Collection[tuple[str | None, int]],
    ) -> Decision:
        points = {
            t.id: self._points(t, [hit[0] for hit in hits if hit[0].status == "active"])
            for t in self.catalogue.typologies
        }
        scores = {name: float(sum(each.values())) for name, each in points.items() if each}
        score = max(scores.values(), default=0.0)
        leading = min((name for name in scores if scores[name] == score), default=None)
        added = points[leading] if leading else {}
        reasons = [
            Reason(
                rule.id, rule.version_hash, rule.title, text, observed, threshold, render("duration", rule.window),
                rule.weight, float(added.get(rule.id, 0)) if rule.status == "active" else 0.0, n,
            )
            for rule, observed, threshold, text, n in hits
        ]  # fmt: skip
        shadow_ids = {rule.id for rule, *_ in hits if rule.status == "shadow"}
        active = [reason for reason in reasons if reason.rule_id not in shadow_ids]
        active.sort(key=lambda r: (-r.contribution, -r.weight, r.rule_id))
        level = "none" if score == 0 else "low"
        for name in ("medium", "high", "critical"):
            level = name if score >= getattr(self.settings, f"{name}_at") else level
        return Decision(
            transaction_id=event["transaction_id"],
            customer_id=event["customer_id"],
            score=score,
            level=level,
            typology=leading,
            alert=score >= self.settings.medium_at and (leading, self._period(event, active)) not in raised,
            reasons=tuple(active),
            abstained=tuple(abstained),
            shadow=tuple(reason for reason in reasons if reason.rule_id in shadow_ids),
            rule_set_version=self.catalogue.version,
            typology_scores=scores,
            subject_kind=self.subject,
            subject=event[f"{self.subject}_id" if self.subject != "ip" else "ip_address"],
            period=self._period(event, active),
        )

    def _period(self, event: Event, reasons: list[Reason]) -> int:
        """Which of the leading rule's windows, counted from 1970, the event is in; only for others than customers."""
        if self.subject == "customer" or not reasons:
            return 0
        (leading,) = [rule for rule in self.catalogue.rules if rule.id == reasons[0].rule_id]
        return int(event["event_time"] // leading.window)

    def _points(self, typology: Any, hit: list[Rule]) -> dict[str, Decimal]:
        """What each rule adds: the score with it and all heavier ones, less the score without it."""
        rules = sorted((r for r in hit if r.id in typology.rule_ids), key=lambda r: (-r.weight, r.id))

        def total(count: int) -> Decimal:
            weights = [Fraction(rule.weight, 100) for rule in rules[:count]]
            exact = 1 - math.prod(1 - w for w in weights) if typology.combine == "noisy_or" else sum(weights)
            cents = Decimal(round(exact * 10_000)) / 100
            weak = all(rule.strength == "weak" for rule in rules)
            return min(cents, Decimal(str(self.settings.medium_at)) - Decimal("0.01") if weak else Decimal(100))

        return {rule.id: total(index + 1) - total(index) for index, rule in enumerate(rules)}

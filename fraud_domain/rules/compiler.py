"""From an expression to Python source: checks every name and kind, and makes missing values safe.

The source is later executed inside the generated program (`program.py`). Everything that reaches it is built
here from whitelisted nodes: names become the `code` of their symbol, literals are interned as constants.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from fraud_domain.rules.errors import ExpressionError
from fraud_domain.rules.expressions import Expression, constant
from fraud_domain.rules.vocabulary import Field, Kind

LIST_OF = {Kind.NUMBER: Kind.NUMBERS, Kind.TEXT: Kind.TEXTS}
_ORDER = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_ARITHMETIC = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%"}
_ORDERED = frozenset({Kind.NUMBER, Kind.TIME, Kind.DURATION})
_RESULTS = {
    ("+", Kind.NUMBER, Kind.NUMBER): Kind.NUMBER,
    ("-", Kind.NUMBER, Kind.NUMBER): Kind.NUMBER,
    ("*", Kind.NUMBER, Kind.NUMBER): Kind.NUMBER,
    ("/", Kind.NUMBER, Kind.NUMBER): Kind.NUMBER,
    ("%", Kind.NUMBER, Kind.NUMBER): Kind.NUMBER,
    ("+", Kind.DURATION, Kind.DURATION): Kind.DURATION,
    ("-", Kind.DURATION, Kind.DURATION): Kind.DURATION,
    ("*", Kind.DURATION, Kind.NUMBER): Kind.DURATION,
    ("*", Kind.NUMBER, Kind.DURATION): Kind.DURATION,
    ("/", Kind.DURATION, Kind.NUMBER): Kind.DURATION,
    ("/", Kind.DURATION, Kind.DURATION): Kind.NUMBER,
    ("-", Kind.TIME, Kind.TIME): Kind.DURATION,
    ("+", Kind.TIME, Kind.DURATION): Kind.TIME,
    ("-", Kind.TIME, Kind.DURATION): Kind.TIME,
}


@dataclass(frozen=True, slots=True)
class Code:
    """Source of a value. `simple`: free to evaluate twice; `known`: of a literal; `exact`: a Decimal, or missing."""

    text: str
    kind: Kind
    nullable: bool = False
    simple: bool = False
    values: tuple[str, ...] = ()
    known: Any = None
    exact: bool = False


def field_code(text: str, field: Field) -> Code:
    """A field of an event that stands at `text`."""
    return Code(text, field.kind, field.nullable, simple=True, values=field.values, exact=field.exact)


@dataclass(slots=True)
class Constants:
    """Values the generated source refers to by name; equal values share one name."""

    values: dict[str, Any] = field(default_factory=dict)
    _names: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, value: Any) -> str:
        """Source text that yields `value`."""
        if isinstance(value, bool | int | str):
            return repr(value)
        shared = frozenset(value) if isinstance(value, tuple) else value
        key = (type(value).__name__, repr(sorted(map(repr, value)) if isinstance(value, tuple) else value))
        name = self._names.setdefault(key, f"K{len(self._names)}")
        self.values[name] = shared
        return name


@dataclass(slots=True)
class Scope:
    """Names an expression may use: `symbols` bare, `current` after `current.` (only in a `where`)."""

    symbols: Mapping[str, Code]
    constants: Constants
    current: Mapping[str, Code] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    used_current: set[str] = field(default_factory=set)
    _temporaries: int = 0

    def temporary(self) -> str:
        """A fresh local name."""
        self._temporaries += 1
        return f"t{self._temporaries}"


def compile_expression(expression: Expression, scope: Scope) -> Code:
    """Source of `expression` in `scope`.

    Raises:
        ExpressionError: an unknown name, or kinds that do not go together.
    """
    return _compile(expression.tree, scope)


def compile_condition(expression: Expression, scope: Scope) -> Code:
    """Source of an expression that must be a yes/no value."""
    code = _compile(expression.tree, scope)
    return _flag(code, expression.tree)


def _compile(node: ast.expr, scope: Scope) -> Code:
    match node:
        case ast.Name(id=name):
            return _lookup(name, scope.symbols, scope.used, "name")
        case ast.Attribute(value=ast.Name(id="current"), attr=name):
            if not scope.current:
                raise ExpressionError(
                    "'current.' is for the 'where' of a feature; here the bare name is the current one"
                )
            return _lookup(name, scope.current, scope.used_current, "field")
        case ast.Constant(value=None):
            return Code("None", Kind.NOTHING, simple=True)
        case ast.Constant() | ast.List() | ast.Tuple():
            return _literal(constant(node), scope)
        case ast.BoolOp(op=op, values=values):
            word = " and " if isinstance(op, ast.And) else " or "
            return Code("(" + word.join(_flag(_compile(v, scope), v).text for v in values) + ")", Kind.FLAG)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return Code(f"(not {_flag(_compile(operand, scope), operand).text})", Kind.FLAG)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            if isinstance(operand, ast.Constant):
                return _literal(constant(node), scope)
            return _compile(ast.BinOp(ast.Constant(0), ast.Sub(), operand), scope)
        case ast.BinOp(left=left, op=op, right=right):
            return _arithmetic(_ARITHMETIC[type(op)], _compile(left, scope), _compile(right, scope), scope)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            operands = [_compile(operand, scope) for operand in (left, *comparators)]
            pairs = zip(ops, operands, operands[1:], strict=False)
            return Code("(" + " and ".join(_compare(o, a, b, scope) for o, a, b in pairs) + ")", Kind.FLAG)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _choice(_flag(_compile(test, scope), test), _compile(body, scope), _compile(orelse, scope))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return _call(name, [_compile(arg, scope) for arg in args], scope)
        case ast.Subscript(value=table, slice=key):
            return _subscript(_compile(table, scope), _compile(key, scope))
    raise ExpressionError(f"'{ast.unparse(node)}' is not part of the rule language")


def _lookup(name: str, symbols: Mapping[str, Code], used: set[str], what: str) -> Code:
    code = symbols.get(name)
    if code is None:
        close = get_close_matches(name, symbols, 1)
        raise ExpressionError(f"unknown {what} '{name}'" + (f", did you mean '{close[0]}'?" if close else ""))
    used.add(name)
    return code


def literal_kind(value: object) -> Kind:
    """Kind of a literal or parameter value.

    Raises:
        ExpressionError: a list that is empty or mixes texts and numbers.
    """
    if isinstance(value, bool):
        return Kind.FLAG
    if isinstance(value, int | Decimal):
        return Kind.NUMBER
    if isinstance(value, str):
        return Kind.TEXT
    if isinstance(value, tuple):
        kinds = {literal_kind(item) for item in value}
        if len(kinds) == 1 and kinds <= LIST_OF.keys():
            return LIST_OF[kinds.pop()]
    raise ExpressionError("a list must hold texts only or numbers only, at least one")


def _literal(value: object, scope: Scope) -> Code:
    return Code(scope.constants.add(value), literal_kind(value), simple=True, known=value)


def _flag(code: Code, node: ast.expr) -> Code:
    if code.kind is not Kind.FLAG:
        raise ExpressionError(f"'{ast.unparse(node)}' is a {code.kind}, a yes/no value is needed")
    return Code(f"({code.text} is True)", Kind.FLAG) if code.nullable else code


def _guard(code: Code, scope: Scope) -> tuple[list[str], str]:
    """Tests that must hold before `code` is used, and the text to use it by."""
    if not code.nullable:
        return [], code.text
    if code.simple:
        return [f"{code.text} is not None"], code.text
    name = scope.temporary()
    return [f"({name} := {code.text}) is not None"], name


def _arithmetic(operator: str, left: Code, right: Code, scope: Scope) -> Code:
    kind = _RESULTS.get((operator, left.kind, right.kind))
    if kind is None:
        raise ExpressionError(f"'{operator}' does not go between a {left.kind} and a {right.kind}")
    if operator in "/%":
        helper = "divide" if operator == "/" else "remainder"
        return Code(f"{helper}({left.text}, {right.text})", kind, nullable=True)
    guards, (a, b) = _guards((left, right), scope)
    return _when(guards, f"({a} {operator} {b})", kind)


def _guards(codes: tuple[Code, ...] | list[Code], scope: Scope) -> tuple[list[str], list[str]]:
    guarded = [_guard(code, scope) for code in codes]
    return [test for tests, _ in guarded for test in tests], [text for _, text in guarded]


def _when(guards: list[str], text: str, kind: Kind) -> Code:
    if not guards:
        return Code(text, kind)
    return Code(f"({text} if {' and '.join(guards)} else None)", kind, nullable=True)


def _beside(code: Code, other: Code, scope: Scope) -> Code:
    """A whole number compared with an exact one as one: it takes a third of the time, many times an event."""
    if not other.exact or not isinstance(code.known, int) or isinstance(code.known, bool):
        return code
    return replace(code, text=scope.constants.add(Decimal(code.known)))


def _compare(op: ast.cmpop, left: Code, right: Code, scope: Scope) -> str:
    if isinstance(op, ast.Is | ast.IsNot):
        if right.kind is not Kind.NOTHING:
            raise ExpressionError("'is' compares with None only; use ==")
        return f"{left.text} is {'not ' if isinstance(op, ast.IsNot) else ''}None"
    if isinstance(op, ast.In | ast.NotIn):
        if right.kind is Kind.LIST:
            return _on_list(op, left, right, scope)
        if LIST_OF.get(left.kind) is not right.kind:
            raise ExpressionError(f"'in' looks for a {left.kind} in a {right.kind}")
        _check_values(left, right)
        if isinstance(op, ast.In):
            return f"{left.text} in {right.text}"
        guards, (text,) = _guards((left,), scope)
        return " and ".join([*guards, f"{text} not in {right.text}"])
    if Kind.NOTHING in (left.kind, right.kind):
        raise ExpressionError("compare with None by 'is None' or 'is not None'")
    if left.kind is not right.kind:
        raise ExpressionError(f"cannot compare a {left.kind} with a {right.kind}")
    left, right = _beside(left, right, scope), _beside(right, left, scope)
    if isinstance(op, ast.Eq | ast.NotEq):
        _check_values(left, right)
        _check_values(right, left)
        if isinstance(op, ast.Eq) and not (left.nullable and right.nullable):
            return f"{left.text} == {right.text}"
        if isinstance(op, ast.Eq):
            guards, (text,) = _guards((left,), scope)
            return " and ".join([*guards, f"{text} == {right.text}"])
        guards, (a, b) = _guards((left, right), scope)
        return " and ".join([*guards, f"{a} != {b}"])
    if left.kind not in _ORDERED:
        raise ExpressionError(f"a {left.kind} has no order; use == or in")
    guards, (a, b) = _guards((left, right), scope)
    return " and ".join([*guards, f"{a} {_ORDER[type(op)]} {b}"])


def _on_list(op: ast.cmpop, left: Code, right: Code, scope: Scope) -> str:
    """Whether a value is on a list that people keep, by the clock of the judged transaction."""
    if left.kind is not Kind.TEXT:
        raise ExpressionError(f"a list holds texts, not a {left.kind}")
    if scope.current:
        raise ExpressionError("a list can be asked in 'condition' and 'applies' only")
    guards, (text,) = _guards((left,), scope)
    asked = f"{right.text}.holds({text}, c_event_time)"
    return " and ".join([*guards, f"not {asked}" if isinstance(op, ast.NotIn) else asked])


def _check_values(side: Code, literal: Code) -> None:
    """A literal compared with an enumerated field must be one of its values."""
    if not side.values or literal.known is None:
        return
    for value in literal.known if isinstance(literal.known, tuple) else (literal.known,):
        if value not in side.values:
            raise ExpressionError(f"'{value}' never occurs there; one of {', '.join(side.values)}")


def _choice(test: Code, body: Code, orelse: Code) -> Code:
    if body.kind is not orelse.kind:
        raise ExpressionError(f"both sides of 'if' must be of one kind, not {body.kind} and {orelse.kind}")
    nullable = body.nullable or orelse.nullable
    return Code(f"({body.text} if {test.text} else {orelse.text})", body.kind, nullable)


def _call(name: str, args: list[Code], scope: Scope) -> Code:
    kinds = {arg.kind for arg in args}
    if name not in ("min", "max", "abs"):
        raise ExpressionError(f"unknown function '{name}'; there are min, max and abs")
    if len(kinds) != 1 or not kinds <= _ORDERED or (len(args) == 1) != (name == "abs"):
        raise ExpressionError(f"{name} takes {'one number' if name == 'abs' else 'two or more values of one kind'}")
    guards, texts = _guards(args, scope)
    return _when(guards, f"{name}({', '.join(texts)})", kinds.pop())


def _subscript(table: Code, key: Code) -> Code:
    if table.kind is not Kind.TABLE or key.kind is not Kind.TEXT:
        raise ExpressionError("only table[text] can be looked up")
    return Code(f"{table.text}.get({key.text})", Kind.NUMBER, nullable=True)

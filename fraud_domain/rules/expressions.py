"""The expression language: a small part of Python's, parsed by Python's parser and nothing more.

Allowed: `and or not`, comparisons (also chained), `in` / `not in` with a list, `is None` / `is not None`,
`+ - * / %`, `min(a, b)`, `max(a, b)`, `abs(a)`, `a if test else b`, `table[text]`, numbers, texts, True,
False, names, and `current.<field>` inside a `where`.

Missing values: arithmetic with a missing value is missing, so is a division by zero. A comparison with a
missing value is false, whichever operator it uses (`!=` and `not in` too). A missing flag is false. `not`
turns false into true, so `not (a > b)` holds when `a` is missing; write `a is not None and ...` to exclude it.
"""

import ast
from dataclasses import dataclass
from decimal import Decimal

from fraud_domain.rules.errors import ExpressionError

MAX_LENGTH = 2_000
MAX_NODES = 400

_ALLOWED = (
    ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div,
    ast.Mod, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Is, ast.IsNot,
    ast.Call, ast.Name, ast.Load, ast.Attribute, ast.Constant, ast.List, ast.Tuple, ast.IfExp, ast.Subscript,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression; equal sources are equal expressions."""

    source: str
    tree: ast.expr

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and other.source == self.source

    def __hash__(self) -> int:
        return hash(self.source)


def parse_expression(source: str) -> Expression:
    """Parse `source`; names and kinds are checked later, against the scope it is used in.

    Raises:
        ExpressionError: it is not an expression, or uses something outside the language.
    """
    text = " ".join(source.split())
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"expression longer than {MAX_LENGTH} characters")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ExpressionError(f"not an expression ({reason}): {text}") from None
    nodes = list(ast.walk(tree))
    if len(nodes) > MAX_NODES:
        raise ExpressionError(f"expression with more than {MAX_NODES} parts; split it into rules")
    for node in nodes:
        if not isinstance(node, _ALLOWED):
            raise ExpressionError(f"{_describe(node)} is not part of the rule language: {text}")
    return Expression(text, tree)


def constant(node: ast.expr) -> object:
    """Value of a literal, a fraction as the Decimal that was written; a list of literals as a tuple.

    Raises:
        ExpressionError: it is something else.
    """
    if isinstance(node, ast.Constant):
        if isinstance(node.value, float):
            return Decimal(repr(node.value))
        if isinstance(node.value, str | int):
            return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = constant(node.operand)
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return -value
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(constant(item) for item in node.elts)
    raise ExpressionError(f"'{ast.unparse(node)}' is not a literal")


def _describe(node: ast.AST) -> str:
    name = type(node).__name__
    return f"'{ast.unparse(node)}' ({name})" if isinstance(node, ast.expr) else name

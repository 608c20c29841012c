"""YAML that remembers its lines: plain values plus the line of every key and item.

Scalars follow YAML 1.2: `off`, `NO` and `10:30` are text (YAML 1.1 makes them false, false and 630), a
fraction is a Decimal, and digits with a leading zero (`0742`, a category code) stay text.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml

from fraud_domain.rules.errors import Problem, RuleError

Path = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """SafeLoader with resolvers of its own, set below: it must not inherit those of YAML 1.1."""


_Loader.yaml_implicit_resolvers = {}
_SCALARS = (
    ("null", r"^(~|null|)$", ["~", "n", ""]),
    ("bool", r"^(true|false)$", ["t", "f"]),
    ("int", r"^-?(0|[1-9][0-9]*)$", list("-0123456789")),
    ("float", r"^-?(0|[1-9][0-9]*)\.[0-9]+$", list("-0123456789")),
)
for _tag, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


@dataclass(frozen=True, slots=True)
class Source:
    """One parsed file: its values and where they stand."""

    name: str
    data: Any
    lines: dict[Path, int]

    def problem(self, path: Path, message: str) -> Problem:
        """A defect at `path`, or at the nearest enclosing place that has a line."""
        while path and path not in self.lines:
            path = path[:-1]
        return Problem(self.name, self.lines.get(path, 1), message)


def parse_yaml(name: str, text: str) -> Source:
    """Read one YAML document called `name`.

    Raises:
        RuleError: it is not YAML, a key occurs twice, or a key is not text.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise RuleError([Problem(name, line, f"not valid YAML: {error.problem or error.context}")]) from None
    source = Source(name, None, {})
    problems: list[Problem] = []
    data = _value(root, (), source.lines, name, problems) if root is not None else None
    if problems:
        raise RuleError(problems)
    return Source(name, data, source.lines)


def _value(node: yaml.Node, path: Path, lines: dict[Path, int], name: str, problems: list[Problem]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                problems.append(Problem(name, line, "a key must be text"))
                continue
            key = str(key_node.value)
            if key in mapping:
                problems.append(Problem(name, line, f"key '{key}' occurs twice"))
            lines[(*path, key)] = line
            mapping[key] = _value(value_node, (*path, key), lines, name, problems)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, index), lines, name, problems) for index, item in enumerate(node.value)]
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    match node.tag.rsplit(":", 1)[-1]:
        case "null":
            return None
        case "bool":
            return text == "true"
        case "int":
            return int(text)
        case "float":
            return Decimal(text)
        case _:
            return text

"""What can be wrong with a rule file, said so that its author finds the place."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One defect of a rule file; `line` counts from 1."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class ExpressionError(ValueError):
    """An expression is outside the language or does not fit the names it uses."""


class RuleError(ValueError):
    """A catalogue cannot be used; `problems` lists every defect found, in file and line order."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))

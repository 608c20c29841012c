"""From a mapping file to a checked `Mapping`, or to every defect found in it with its line."""

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from fraud_domain.rules import Problem, RuleError
from fraud_domain.rules.yaml_source import Source, parse_yaml
from medallion_services.errors import UserError
from medallion_services.mapping.model import MAPPED_FIELDS, MappingFile


@dataclass(frozen=True, slots=True)
class Mapping:
    """A checked mapping; `digest` identifies its text."""

    name: str
    file: MappingFile
    source: Source
    digest: str

    def problem(self, path: tuple[str | int, ...], message: str) -> Problem:
        """A defect at a place of the file."""
        return self.source.problem(path, message)


def load_mapping(path: Path) -> Mapping:
    """Read a mapping.

    Raises:
        UserError: it cannot be read, or is wrong; every problem is given as `<file>:<line>: message`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"mapping {path} cannot be read: {error}") from error
    return parse_mapping(path.name, text)


def parse_mapping(name: str, text: str) -> Mapping:
    """As `load_mapping`, from text."""
    try:
        source = parse_yaml(name, text)
    except RuleError as error:
        raise mapping_error(list(error.problems)) from None
    problems = _unknown_fields(source)
    try:
        file = MappingFile.model_validate(source.data if source.data is not None else {})
    except ValidationError as error:
        problems += [_problem(source, each["loc"], each["msg"]) for each in error.errors()]
    if problems:
        raise mapping_error(problems)
    return Mapping(name, file, source, hashlib.sha256(text.encode()).hexdigest())


def mapping_error(problems: list[Problem]) -> UserError:
    """The exception for defects of a mapping."""
    return UserError("the mapping is wrong.\n" + "\n".join(str(problem) for problem in sorted(set(problems))))


def closest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """` (did you mean ...?)` for a name that is nearly right, else nothing."""
    lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), list(lower), n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(lower[each] for each in found)}?)" if found else ""


def _problem(source: Source, loc: tuple[int | str, ...], message: str) -> Problem:
    if message == "Extra inputs are not permitted":
        message = "unknown key"
    place = ".".join(map(str, loc))
    return source.problem(loc, f"{place}: {message}" if place else message.removeprefix("Value error, "))


def _unknown_fields(source: Source) -> list[Problem]:
    if not isinstance(source.data, dict):
        return []
    problems = []
    for part in ("fields", "constants", "defaults"):
        names = source.data.get(part)
        for name in names if isinstance(names, dict) else ():
            if name not in MAPPED_FIELDS:
                message = f"{part}.{name}: no field of the contract{closest(name, MAPPED_FIELDS)}"
                problems.append(source.problem((part, name), message))
    return problems

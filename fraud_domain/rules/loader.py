"""From a directory of rule files to a checked `Catalogue`, or to every defect found in them."""

from collections.abc import Mapping
from pathlib import Path, PurePath

from pydantic import ValidationError

from fraud_domain.rules.checks import check_rule
from fraud_domain.rules.errors import Problem, RuleError
from fraud_domain.rules.lists import FILE, read_lists
from fraud_domain.rules.model import Catalogue, EntityList, Rule, Typology
from fraud_domain.rules.reading import read_rule
from fraud_domain.rules.schema import RuleFile
from fraud_domain.rules.yaml_source import Source, parse_yaml


def read_texts(directory: Path) -> dict[str, str]:
    """Every `*.yaml` of `directory` as name -> content.

    Raises:
        RuleError: there is none.
    """
    paths = sorted(directory.glob("*.yaml"))
    if not paths:
        raise RuleError([Problem(directory.name, 1, "no rule files (*.yaml) here")])
    return {f"{directory.name}/{path.name}": path.read_text(encoding="utf-8") for path in paths}


def load_catalogue(directory: Path) -> Catalogue:
    """Load every `*.yaml` of `directory`.

    Raises:
        RuleError: a file is not a rule file, or the rules do not make sense together; lists all problems as
            `<directory name>/<file>:<line>: message`.
    """
    return load_texts(read_texts(directory))


def load_texts(files: Mapping[str, str]) -> Catalogue:
    """Load rule files given as name -> content.

    Raises:
        RuleError: as for `load_catalogue`.
    """
    problems: list[Problem] = []
    parsed: list[tuple[Source, RuleFile]] = []
    lists: dict[str, EntityList] = {}
    for name, text in files.items():
        try:
            if _is_lists(name):
                lists = read_lists(name, text)
                continue
            source = parse_yaml(name, text)
            parsed.append((source, RuleFile.model_validate(source.data)))
        except RuleError as error:
            problems += error.problems
        except ValidationError as error:
            problems += [_shape_problem(source, details["loc"], details["msg"]) for details in error.errors()]
    rules = _rules(parsed, lists, problems)
    complete = len(parsed) == sum(not _is_lists(name) for name in files)
    typologies = _typologies(parsed, rules, problems, complete)
    if problems:
        raise RuleError(problems)
    return Catalogue(
        tuple(sorted(rules.values(), key=_id)),
        tuple(sorted(typologies.values(), key=_id)),
        tuple(sorted(lists.values(), key=lambda each: each.id)),
    )


def _is_lists(name: str) -> bool:
    return PurePath(name).name == FILE


def _id(item: Rule | Typology) -> str:
    return item.id


def _shape_problem(source: Source, loc: tuple[int | str, ...], message: str) -> Problem:
    if message == "Extra inputs are not permitted":
        message = "unknown key"
    return source.problem(loc, f"{_dotted(loc)}: {message}" if loc else message)


def _dotted(path: tuple[int | str, ...]) -> str:
    return ".".join(map(str, path))


def _rules(
    parsed: list[tuple[Source, RuleFile]], lists: Mapping[str, EntityList], problems: list[Problem]
) -> dict[str, Rule]:
    rules: dict[str, Rule] = {}
    for source, file in parsed:
        for index, part in enumerate(file.rules):
            if part.id in rules:
                first = rules[part.id]
                message = f"rule {part.id} is already defined at {first.file}:{first.line}"
                problems.append(source.problem(("rules", index, "id"), message))
                continue
            found: list[Problem] = []
            rule = read_rule(source, index, part, file.typology.id, lists, found)
            if rule is not None:
                rules[part.id] = rule
                found += check_rule(source, index, rule)
            problems += found
    return rules


def _typologies(
    parsed: list[tuple[Source, RuleFile]], rules: dict[str, Rule], problems: list[Problem], complete: bool
) -> dict[str, Typology]:
    """`complete` false: a file could not be read, so an include may point into it and is not judged."""
    typologies: dict[str, Typology] = {}
    defined = {part.id for _, file in parsed for part in file.rules}
    for source, file in parsed:
        part = file.typology
        if part.id in typologies:
            message = f"typology {part.id} is already defined in {typologies[part.id].file}"
            problems.append(source.problem(("typology", "id"), message))
            continue
        own = [rule.id for rule in file.rules]
        for index, rule_id in enumerate(part.includes):
            path = ("typology", "includes", index)
            if rule_id in own or rule_id in part.includes[:index]:
                problems.append(source.problem(path, f"rule {rule_id} is in this typology already"))
            elif rule_id not in defined and complete:
                problems.append(source.problem(path, f"included rule {rule_id} is defined nowhere"))
        if not own and not part.includes:
            problems.append(source.problem(("typology",), f"typology {part.id} has no rules"))
        rule_ids = tuple(sorted({*own, *part.includes}))
        typologies[part.id] = Typology(
            part.id, part.title, part.description, part.combine, part.owner, rule_ids, source.name
        )
    return typologies

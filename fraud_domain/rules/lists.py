"""Lists of known devices, merchants, addresses, ...: allow, block or watch, each entry with an end.

They stand in `rules/lists.yaml`; a rule names one as a parameter, `{blocked: "list:blocked_devices"}`, and asks
`device_id in blocked`. An entry counts until its `until`, by the clock of the event, so a replay decides alike.
"""

import json
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, ValidationError

from fraud_domain.moments import epoch_micros
from fraud_domain.rules.errors import Problem, RuleError
from fraud_domain.rules.model import EntityList, Purpose
from fraud_domain.rules.schema import Line, Name, Part
from fraud_domain.rules.yaml_source import Source, parse_yaml

FILE = "lists.yaml"
PREFIX = "list:"


class EntryPart(Part):
    """One entry."""

    value: Line
    until: Annotated[str | None, Field(description="Last moment it counts, ISO-8601 with offset; none = for ever")] = (
        None
    )
    reason: Annotated[Line, Field(description="Why, and who says so")]


class ListPart(Part):
    """One list."""

    id: Name
    purpose: Purpose
    owner: Line
    description: Line
    entries: tuple[EntryPart, ...] = ()


class ListsFile(Part):
    """The whole file."""

    lists: list[ListPart]


def read_lists(name: str, text: str) -> dict[str, EntityList]:
    """The lists of a file, by id.

    Raises:
        RuleError: it is not a file of lists; says where.
    """
    source = parse_yaml(name, text)
    try:
        file = ListsFile.model_validate(source.data)
    except ValidationError as error:
        wrong = [source.problem(d["loc"], f"{'.'.join(map(str, d['loc']))}: {d['msg']}") for d in error.errors()]
        raise RuleError(wrong) from None
    problems: list[Problem] = []
    lists: dict[str, EntityList] = {}
    for number, part in enumerate(file.lists):
        if part.id in lists:
            problems.append(source.problem(("lists", number, "id"), f"list {part.id} is defined twice"))
        entries = [(e.value, _end(source, number, n, e.until, problems)) for n, e in enumerate(part.entries)]
        lists[part.id] = EntityList(part.id, part.purpose, tuple(entries))
    if problems:
        raise RuleError(problems)
    return lists


def _end(source: Source, number: int, entry: int, until: str | None, problems: list[Problem]) -> int | None:
    if until is None:
        return None
    path = ("lists", number, "entries", entry, "until")
    try:
        moment = datetime.fromisoformat(until)
    except ValueError:
        problems.append(source.problem(path, f"until '{until}' is not a time, such as 2027-01-31T00:00:00Z"))
        return None
    if moment.tzinfo is None:
        problems.append(source.problem(path, f"until '{until}' has no offset, such as Z or -03:00"))
        return None
    return epoch_micros(moment)


def schema_text() -> str:
    """The JSON Schema for editors, as `rules/lists.schema.json` holds it."""
    schema: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(schema | ListsFile.model_json_schema(), indent=2) + "\n"

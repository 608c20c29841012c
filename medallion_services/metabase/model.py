"""What a file of `dashboards/metabase/` says: one dashboard with its parameters and its cards."""

import re
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

GRID = 24
"""Columns of a Metabase dashboard, since version 0.47."""
_TAG = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_QUOTED = re.compile(r"'[^']*'")
_SOURCE = re.compile(r"\b(?:FROM|JOIN)\s+(?:LATERAL\s+)?([a-z_][\w.]*)", re.IGNORECASE)
_WITH = re.compile(r"(?:\bWITH|,)\s+(\w+)\s+AS\s*\(", re.IGNORECASE)

Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,40}$")]
Title = Annotated[str, StringConstraints(min_length=1, max_length=80)]
Sentence = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Sql = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4_000)]
Size = Annotated[int, Field(ge=1, le=GRID)]


class Part(BaseModel):
    """A part of a file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Display(StrEnum):
    """How Metabase draws a card."""

    SCALAR = "scalar"
    TABLE = "table"
    LINE = "line"
    AREA = "area"
    BAR = "bar"
    ROW = "row"
    PIE = "pie"


_SIZES = {Display.SCALAR: (4, 3), Display.TABLE: (24, 8), Display.PIE: (8, 7)}
_OTHER_SIZE = (12, 7)


class Kind(StrEnum):
    """What a parameter holds."""

    NUMBER = "number"
    TEXT = "text"


class Parameter(Part):
    """A filter above the dashboard; in SQL `{{key}}`, inside `[[...]]` unless it has a default."""

    key: Key
    title: Title
    kind: Kind = Kind.TEXT
    default: int | str | None = None
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _default_fits(self) -> Self:
        if self.default is not None and isinstance(self.default, int) != (self.kind is Kind.NUMBER):
            raise ValueError(f"the default of '{self.key}' is no {self.kind}")
        return self


class Card(Part):
    """One question. A chart's columns are `x` and `y`; a scalar or a table names its `columns`."""

    key: Key
    title: Title
    description: Sentence
    display: Display
    sql: Sql
    x: tuple[str, ...] = ()
    y: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    size: tuple[Size, Size] | None = Field(default=None, description="Width of 24 columns, height in rows")

    @property
    def shape(self) -> tuple[str, ...]:
        """The columns of the result, in order."""
        return self.columns or (*self.x, *self.y)

    @property
    def tags(self) -> tuple[str, ...]:
        """Parameters that the SQL uses, each once."""
        return tuple(dict.fromkeys(_TAG.findall(self.sql)))

    @property
    def extent(self) -> tuple[int, int]:
        """Width and height."""
        return self.size or _SIZES.get(self.display, _OTHER_SIZE)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        plain = self.display in (Display.SCALAR, Display.TABLE)
        if plain and (self.x or self.y or not self.columns):
            raise ValueError(f"a {self.display} has `columns`, and neither `x` nor `y`")
        if not plain and (self.columns or not self.x or not self.y):
            raise ValueError(f"a {self.display} has `x` and `y`, and no `columns`")
        if self.display is Display.SCALAR and len(self.columns) != 1:
            raise ValueError("a scalar has one column")
        if ";" in self.sql:
            raise ValueError("the SQL is one statement, without a semicolon")
        own = {name.lower() for name in _WITH.findall(self.sql)}
        foreign = [
            name
            for name in _SOURCE.findall(_QUOTED.sub("''", self.sql))
            if not name.startswith("mart.v_") and name not in own
        ]
        if foreign:
            raise ValueError(f"the SQL reads {', '.join(foreign)}; cards read the views mart.v_... only")
        return self


class Dashboard(Part):
    """A dashboard. `refresh_seconds` goes into its address; Metabase does not keep it."""

    key: Key
    title: Title
    description: Sentence
    refresh_seconds: Annotated[int, Field(ge=60)] | None = None
    parameters: tuple[Parameter, ...] = ()
    cards: Annotated[tuple[Card, ...], Field(min_length=1)]

    def parameter(self, key: str) -> Parameter:
        """The parameter called `key`, which the model has checked to be there."""
        return next(each for each in self.parameters if each.key == key)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for kind, keys in {"card": [c.key for c in self.cards], "parameter": [p.key for p in self.parameters]}.items():
            for key in {key for key in keys if keys.count(key) > 1}:
                raise ValueError(f"{kind} '{key}' is there twice")
        known = {each.key: each for each in self.parameters}
        for card in self.cards:
            bare = set(_TAG.findall(re.sub(r"\[\[.*?\]\]", "", card.sql, flags=re.DOTALL)))
            for tag in card.tags:
                if tag not in known:
                    raise ValueError(f"card '{card.key}' uses {{{{{tag}}}}}, which is no parameter of the dashboard")
                if tag in bare and known[tag].default is None:
                    raise ValueError(f"card '{card.key}': '{tag}' has no default, so {{{{{tag}}}}} must be in [[...]]")
        unused = known.keys() - {tag for card in self.cards for tag in card.tags}
        if unused:
            raise ValueError(f"no card uses the parameter {', '.join(sorted(unused))}")
        return self

    def places(self) -> dict[str, tuple[int, int]]:
        """Row and column of each card, set like text: left to right, then below the highest of the line."""
        found: dict[str, tuple[int, int]] = {}
        row = column = height = 0
        for card in self.cards:
            width, high = card.extent
            if column + width > GRID:
                row, column, height = row + height, 0, 0
            found[card.key] = (row, column)
            column, height = column + width, max(height, high)
        return found


def statement(dashboard: Dashboard, card: Card, values: dict[str, int | str]) -> tuple[str, list[int | str]]:
    """The card's SQL for psycopg, and what is bound. As in Metabase, `[[...]]` goes when its parameter has no value."""
    given = {each.key: each.default for each in dashboard.parameters if each.default is not None} | values

    def optional(found: re.Match[str]) -> str:
        text = found.group(1)
        return text if set(_TAG.findall(text)) <= given.keys() else ""

    text = re.sub(r"\[\[(.*?)\]\]", optional, card.sql, flags=re.DOTALL).replace("%", "%%")
    return _TAG.sub("%s", text), [given[tag] for tag in _TAG.findall(text)]

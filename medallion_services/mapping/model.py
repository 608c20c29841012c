"""What a `*.mapping.yaml` says: how to read a file, and which expression gives which contract field."""

from enum import StrEnum
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from fraud_domain.contract import EDGE_ONLY_FIELDS, Transaction
from fraud_domain.rules.durations import PATTERN as DURATION

MAPPED_FIELDS = (*Transaction.model_fields, *sorted(EDGE_ONLY_FIELDS))
"""Contract fields, and `card_number`, which is replaced by its token before anything leaves this process."""
DERIVABLE = frozenset({"transaction_id"})
"""Required fields that are made of file and line when the mapping leaves them out."""

Expression = Annotated[str, Field(min_length=1, max_length=4_000)]
Constant = str | int | bool | Annotated[float, Field(strict=True)]


class Part(BaseModel):
    """A part of a mapping file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Format(StrEnum):
    """How a file is written; each may be compressed with gzip, except Parquet."""

    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"


class Amounts(StrEnum):
    """How money is written. `strict` refuses whatever two countries would read differently."""

    STRICT = "strict"
    POINT = "point"
    COMMA = "comma"
    MIXED = "mixed"


class SourcePart(Part):
    """The file. `columns` names the columns of a CSV without header, or columns that some JSON rows lack."""

    format: Format | None = Field(default=None, description="Default: by the file's name")
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    quote: Annotated[str, Field(min_length=1, max_length=1)] = '"'
    header: bool = True
    encoding: Literal["utf-8", "latin-1", "cp1252"] = "utf-8"
    columns: list[str] = Field(default_factory=list)


class LabelFilePart(Part):
    """Truth in a file of its own: expressions over its columns."""

    name: str = Field(default="", description="File name beside the data file; --labels on the command line wins")
    transaction_id: Expression
    where: Expression = "true"
    source: SourcePart = SourcePart()


class LabelsPart(Part):
    """Truth about rows: goes to `fraud_labels` after `delay`, never into the event."""

    fraud: Expression = Field(description="true/1/yes/fraud, false/0/no/legit, or nothing when it is not known")
    fraud_type: Expression | None = None
    source: Literal["chargeback", "analyst", "customer"] = "chargeback"
    delay: Annotated[str, Field(pattern=DURATION)] = "7d"
    file: LabelFilePart | None = None


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"'{name}' is no time zone; write one such as Europe/Berlin")
    return name


class MappingFile(Part):
    """A whole mapping file."""

    source: SourcePart = SourcePart()
    timezone: Annotated[str, AfterValidator(_zone)] | None = Field(
        default=None, description="Zone of times without an offset; without it they are refused"
    )
    amounts: Amounts = Amounts.STRICT
    fields: dict[str, Expression] = Field(description="Contract field -> SQL expression over the file's columns")
    constants: dict[str, Constant] = Field(default_factory=dict, description="Contract field -> the same in every row")
    defaults: dict[str, Constant] = Field(default_factory=dict, description="Used where the expression gives nothing")
    order_by: Literal["event_time", "file"] = "event_time"
    labels: LabelsPart | None = None

    @model_validator(mode="after")
    def _whole(self) -> "MappingFile":
        known = set(MAPPED_FIELDS)
        for name in self.fields.keys() & self.constants.keys():
            raise ValueError(f"'{name}' is both a field and a constant")
        given = self.fields.keys() | self.constants.keys() | self.defaults.keys()
        required = [name for name, info in Transaction.model_fields.items() if info.is_required()]
        missing = [name for name in required if name not in DERIVABLE | given]
        if missing and not given - known:
            raise ValueError(f"the contract requires {', '.join(missing)}: add an expression or a constant")
        return self


def json_schema() -> dict[str, Any]:
    """JSON Schema of a mapping file, for editors; field names are those of the contract."""
    schema: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema |= MappingFile.model_json_schema()
    for part in ("fields", "constants", "defaults"):
        schema["properties"][part]["propertyNames"] = {"enum": list(MAPPED_FIELDS)}
    return schema

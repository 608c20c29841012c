"""A row that is not sent: where it stands, why, and what was there; never a card number."""

import re
from dataclasses import dataclass
from pathlib import Path

from medallion_services.json_lines import OptionalJsonLines

WITHHELD = "(withheld: could be a card number)"
_LONG_DIGITS = re.compile(r"(?:[0-9][ -]?){12,}")
_MAX_VALUE = 200


def shown(value: object) -> str:
    """A value fit to be shown or kept: short, and nothing with twelve digits in a row."""
    text = str(value)
    return WITHHELD if _LONG_DIGITS.search(text) else text[:_MAX_VALUE]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the row of `line` was refused: a reason code, the contract field it is about, the value."""

    line: int
    code: str
    field: str
    value: str

    def as_json(self) -> dict[str, object]:
        """What is kept of it."""
        return {"line": self.line, "reason": self.code, "field": self.field, "value": shown(self.value)}


class RejectedFile(OptionalJsonLines):
    """Writes refusals as JSON Lines, and counts them by reason; without a path it only counts."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(path)
        self.counts: dict[str, int] = {}

    @property
    def total(self) -> int:
        """Rows refused."""
        return sum(self.counts.values())

    def add(self, refusal: Refusal) -> None:
        """Note one."""
        self.counts[refusal.code] = self.counts.get(refusal.code, 0) + 1
        self.write(refusal.as_json())

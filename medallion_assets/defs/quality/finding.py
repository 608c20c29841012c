"""What a check found, before Dagster hears of it: so that tests and other tools use the same functions."""

from dataclasses import dataclass, field
from typing import Any

import dagster as dg


@dataclass(frozen=True, slots=True)
class Finding:
    """Outcome of a check. `text` says what and where; `figures` are shown beside it."""

    passed: bool
    text: str
    figures: dict[str, Any] = field(default_factory=dict)
    warn_only: bool = False

    def result(self, key: dg.AssetKey, name: str) -> dg.AssetCheckResult:
        """As Dagster wants it."""
        severity = dg.AssetCheckSeverity.WARN if self.warn_only else dg.AssetCheckSeverity.ERROR
        return dg.AssetCheckResult(
            asset_key=key,
            check_name=name,
            passed=self.passed,
            severity=severity,
            description=self.text,
            metadata=self.figures,
        )

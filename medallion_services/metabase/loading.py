"""Read and validate the dashboards' files; whatever is wrong is said with file and card."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fraud_domain.settings import PROJECT_ROOT
from medallion_services.errors import UserError
from medallion_services.metabase.model import Dashboard

DIRECTORY = PROJECT_ROOT / "dashboards" / "metabase"


def load(directory: Path = DIRECTORY) -> tuple[Dashboard, ...]:
    """Every dashboard, by file name.

    Raises:
        UserError: there is no file, or one is wrong; the message names file and card.
    """
    files = sorted(directory.glob("*.yaml"))
    if not files:
        raise UserError(f"no dashboards: {directory} has no *.yaml")
    found: dict[str, Path] = {}
    dashboards = []
    for file in files:
        dashboard = read(file)
        if dashboard.key in found:
            raise UserError(f"{file.name}: dashboard '{dashboard.key}' is in {found[dashboard.key].name} already")
        found[dashboard.key] = file
        dashboards.append(dashboard)
    return tuple(dashboards)


def read(file: Path) -> Dashboard:
    """One file.

    Raises:
        UserError: it cannot be read, is no YAML, or breaks the model.
    """
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{file.name} cannot be read as YAML: {error}") from error
    try:
        return Dashboard.model_validate(document)
    except ValidationError as error:
        lines = [f"{_where(document, each['loc'])}: {each['msg']}" for each in error.errors()]
        raise UserError(f"{file.name} is wrong.\n" + "\n".join(lines)) from error


def _where(document: Any, location: tuple[int | str, ...]) -> str:
    """`card 'volume', display` instead of `cards.3.display`."""
    if len(location) > 1 and location[0] in ("cards", "parameters"):
        part, number, *rest = location
        entries = document[part]
        entry = entries[number] if isinstance(entries, list) and isinstance(number, int) else None
        name = entry.get("key", number) if isinstance(entry, dict) else number
        return ", ".join([f"{str(part)[:-1]} '{name}'", *(str(each) for each in rest)])
    return ".".join(str(each) for each in location) or "the dashboard"

"""The one place where a user's mistake becomes a message instead of a stack trace."""

import sys
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console
from typer.core import TyperGroup

from fraud_domain.rules.errors import RuleError
from fraud_domain.settings import MissingSecretError
from medallion_services.errors import UserError

_EXIT_CODE = 1


def _variable(location: Iterable[int | str]) -> str:
    return "MEDALLION_" + "__".join(str(part) for part in location).upper()


def explain(error: Exception) -> str | None:
    """What to tell the user; None when the error is a defect of ours, which keeps its stack trace."""
    if isinstance(error, UserError | MissingSecretError | RuleError):
        return str(error)
    if isinstance(error, ValidationError) and error.title == "Settings":
        lines = [f"{_variable(each['loc'])}={each['input']!r}: {each['msg']}" for each in error.errors()]
        return "a setting is wrong.\n" + "\n".join(lines)
    if isinstance(error, SettingsError):
        return f"a setting cannot be read: {error}"
    return None


class FriendlyGroup(TyperGroup):
    """A command group that prints `explain(error)` and exits with 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            message = explain(error)
            if message is None:
                raise
            Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {_escape(message)}", highlight=False)
            sys.exit(_EXIT_CODE)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)

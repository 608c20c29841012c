"""The `medallion` command.

Every module of this package that has a function `register(app: typer.Typer) -> None` adds its commands;
dropping a file here is all that is needed. Modules import what is heavy inside their commands.
"""

import pkgutil
from importlib import import_module

import typer

from medallion_services.cli.errors import FriendlyGroup

app = typer.Typer(
    name="medallion",
    cls=FriendlyGroup,
    help="Real-time payment fraud platform: run it, look at it, feed it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Real-time payment fraud platform: run it, look at it, feed it."""


for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    _register = getattr(import_module(f"{__name__}.{_module}"), "register", None)
    if _register is not None:
        _register(app)

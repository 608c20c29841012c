"""`medallion history`: bring months of transactions from files into the lake, beside the streams."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from fraud_domain.settings import PROJECT_ROOT, Settings

history_app = typer.Typer(no_args_is_help=True, help="Transactions from before: load them in batch.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(history_app, name="history")


# A group with one command would lose that command's name.
@history_app.callback()
def _history() -> None:
    """Transactions from before: load them in batch."""


@history_app.command()
def load(
    source: Annotated[Path, typer.Argument(exists=True, help="JSON Lines of the contract: a file, or a directory.")],
    name: Annotated[str, typer.Option("--name", help="Name of the load; default: made of the files.")] = "",
) -> None:
    """Load transactions into bronze, silver, gold and the marts, by the contract and the rules of the streams.

    The same files again, also after a kill, add only what is missing. Other files become JSON Lines by a mapping:
    `medallion mapping check` explains one. Example: `medallion history load exports/2025`
    """
    from medallion_services.embedded import jars
    from medallion_services.embedded.environment import stack_environment
    from medallion_services.embedded.java import find_java
    from medallion_services.embedded.spark_conf import write_spark_conf
    from medallion_services.errors import UserError
    from medallion_services.history_name import load_name

    settings = Settings()
    java = find_java(settings)
    jars.fetch(settings, java)
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    write_spark_conf(settings)
    script = PROJECT_ROOT / "spark_jobs" / "medallion_history.py"
    argv = [sys.executable, str(script), "--source", str(source.resolve()), "--load", name or load_name(source)]
    environment = stack_environment(settings, java_home=java.home)
    with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            if line[:2] == "20" and "Z " in line:
                typer.echo(line.split("Z ", 1)[1].rstrip())
    if process.returncode:
        raise UserError("the load did not finish; run the same command again, it goes on where it stopped")

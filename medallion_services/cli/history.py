"""`medallion history`: bring months of transactions from files into the lake, beside the streams."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from fraud_domain.log_lines import message_in
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
    source: Annotated[Path, typer.Argument(exists=True, help="A file, or a directory: JSON Lines of the contract.")],
    name: Annotated[str, typer.Option("--name", help="Name of the load; default: made of the files.")] = "",
    mapping: Annotated[
        Path | None, typer.Option("--mapping", "-m", help="The *.mapping.yaml of CSV, Parquet or other JSON Lines.")
    ] = None,
    rejected: Annotated[Path | None, typer.Option(help="Where rows go that a mapping refuses.")] = None,
) -> None:
    """Load transactions into bronze, silver, gold and the marts, by the contract and the rules of the streams.

    The same files again, also after a kill, add only what is missing.

    Examples: `medallion history load exports/2025`, or other people's files by the mapping of a replay:
    `medallion history load samples/european_cards.csv.gz --mapping samples/european_cards.mapping.yaml`
    """
    from medallion_services.embedded import jars
    from medallion_services.embedded.environment import stack_environment
    from medallion_services.embedded.java import find_java
    from medallion_services.embedded.spark_conf import write_spark_conf
    from medallion_services.errors import UserError
    from medallion_services.history_name import load_name

    settings = Settings()
    files = source if mapping is None else _mapped(settings, source, mapping, rejected)
    java = find_java(settings)
    jars.fetch(settings, java)
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    write_spark_conf(settings)
    script = PROJECT_ROOT / "spark_jobs" / "medallion_history.py"
    argv = [sys.executable, str(script), "--source", str(files.resolve()), "--load", name or load_name(files)]
    environment = stack_environment(settings, java_home=java.home)
    last = ""
    with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            if (told := message_in(line)) is not None:
                typer.echo(told)
            last = line.strip() or last
    if process.returncode:
        raise UserError(f"the load did not finish: {last}\nRun the same command again, it goes on where it stopped")
    if mapping is not None:
        shutil.rmtree(files)


def _mapped(settings: Settings, source: Path, mapping: Path, rejected: Path | None) -> Path:
    """The files as the contract has them; says how many rows were refused."""
    from medallion_services.embedded.secrets import ensure_secrets
    from medallion_services.history_files import contract_files
    from medallion_services.mapping.loading import load_mapping

    ensure_secrets(settings)
    found = contract_files(settings, source, load_mapping(mapping), settings.token_key, rejected)
    typer.echo(f"rows accepted: {found.accepted:,}, refused: {sum(found.reasons.values()):,}")
    if found.reasons:
        reasons = ", ".join(f"{code} {count:,}" for code, count in found.reasons.items())
        typer.echo(f"refused: {reasons}; each with line and value in {found.rejected}")
    return found.folder

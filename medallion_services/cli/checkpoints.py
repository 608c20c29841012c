"""`medallion checkpoint`: what is damaged in a stream's checkpoint, and the way out."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from fraud_domain.settings import Settings

checkpoint_app = typer.Typer(
    no_args_is_help=True, help="The checkpoints of the streams: verify, repair, begin a new generation."
)
Query = Annotated[str, typer.Argument(metavar="STREAM.QUERY", help="Such as silver.transactions.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(checkpoint_app, name="checkpoint")


@checkpoint_app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="[STREAM.QUERY]...", help="All when none.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Examine checkpoints and change nothing; exit code 1 when one is damaged.

    While a stream runs its newest files may be half written: stop it for a verdict that counts.
    """
    from medallion_services.checkpoints.doctor import examine
    from medallion_services.checkpoints.judging import Remedy
    from medallion_services.checkpoints.sinks import queries

    settings = Settings()
    diagnoses = [examine(settings, query) for query in names or queries()]
    if as_json:
        document = {
            d.query: {
                "remedy": d.remedy.value,
                "findings": [
                    {"path": str(f.path), "what": f.what, "meaning": f.meaning, "remedy": f.remedy.value}
                    for f in d.findings
                ],
            }
            for d in diagnoses
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        for diagnosis in diagnoses:
            newest = diagnosis.checkpoint.newest_batch
            batch = "none yet" if newest < 0 else f"batch {newest}"
            state = "whole" if not diagnosis.findings else f"needs: {diagnosis.remedy.value}"
            typer.echo(f"{diagnosis.query:<24} {batch:>12}  {state}")
            for finding in diagnosis.findings:
                typer.echo(f"    {finding.path}\n    {finding.what}: {finding.meaning} -> {finding.remedy.value}")
    if any(d.remedy is not Remedy.NOTHING for d in diagnoses):
        raise typer.Exit(1)


@checkpoint_app.command()
def repair(query: Query) -> None:
    """Mend what can be mended without losing or doubling anything; damaged files are kept beside the checkpoint."""
    from medallion_services.checkpoints.doctor import treat

    done = treat(Settings(), query, datetime.now(UTC))
    for line in done or [f"{query}: nothing to repair"]:
        typer.echo(line)


@checkpoint_app.command()
def rebase(
    query: Query, reason: Annotated[str, typer.Option("--reason", "-r", help="Why; kept in the database.")]
) -> None:
    """Put the checkpoint aside and begin a new generation that writes only what the tables lack.

    Example: `medallion checkpoint rebase silver.transactions --reason "state lost with the disk"`
    """
    from medallion_services.checkpoints.doctor import rebase as begin

    for line in begin(Settings(), query, reason, datetime.now(UTC)):
        typer.echo(line)

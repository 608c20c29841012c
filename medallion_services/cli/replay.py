"""`medallion replay`: anyone's file into Kafka, in its own time."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraud_domain.settings import Settings

if TYPE_CHECKING:
    from medallion_services.replay.run import Summary


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON Lines, also with gzip.")],
    mapping: Annotated[Path, typer.Option("--mapping", "-m", help="The *.mapping.yaml.")],
    speed: Annotated[float | None, typer.Option(min=0.001, help="Seconds of the file's time per second.")] = None,
    fast: Annotated[bool, typer.Option("--as-fast-as-possible", help="Without pauses; the default.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first transactions, and their labels.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a replay of this file ended.")] = False,
    shift_to_now: Annotated[
        bool, typer.Option("--shift-to-now", help="Move all times by whole days, so that the last event is today's.")
    ] = False,
    rejected: Annotated[Path | None, typer.Option(help="Where refused rows go, with line and reason.")] = None,
) -> None:
    """Send a file's transactions to Kafka with their own times, and its labels when they became known.

    Example: `medallion replay samples/european_cards.csv.gz --mapping samples/european_cards.mapping.yaml`
    """
    from medallion_services.cli.replay_console import ReplayConsole
    from medallion_services.embedded.secrets import ensure_secrets
    from medallion_services.mapping.loading import load_mapping
    from medallion_services.replay.run import Options, run_replay

    if speed is not None and fast:
        raise typer.BadParameter("either --speed or --as-fast-as-possible")
    settings = Settings()
    ensure_secrets(settings)
    options = Options(speed, limit, resume, shift_to_now, rejected)
    with ReplayConsole() as console:
        now_us = time.time_ns() // 1000
        summary = run_replay(settings, file, load_mapping(mapping), options, settings.token_key, now_us, console)
    for line in _lines(summary):
        typer.echo(line)


def _lines(summary: "Summary") -> list[str]:
    before = f" (and {summary.already:,} before)" if summary.already else ""
    beyond = f" + beyond --limit: {summary.beyond_limit:,}" if summary.beyond_limit else ""
    sent = f"transactions sent: {summary.transactions:,}{before}"
    lines = [
        f"rows read: {summary.read:,} = {sent} + refused: {summary.refused:,}{beyond}",
        f"labels sent: {summary.labels:,}"
        + (f" (and {summary.labels_before:,} before)" if summary.labels_before else "")
        + (f"; not yet known today, so not sent: {summary.labels_not_due:,}" if summary.labels_not_due else ""),
    ]
    if summary.refused:
        reasons = ", ".join(f"{code} {count:,}" for code, count in summary.reasons.items())
        lines.append(f"refused: {reasons}; each with line and value in {summary.rejected}")
    return lines

"""`medallion backtest`: what rules would have done on history, judged by labels."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fraud_domain.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backtest)


def backtest(
    source: Annotated[str, typer.Argument(help="A file, or `lake` for the tables of this platform.")],
    mapping: Annotated[Path | None, typer.Option("--mapping", "-m", help="The file's *.mapping.yaml.")] = None,
    rules: Annotated[str, typer.Option(help="Directory or git revision of the rules; default: those in use.")] = "",
    against: Annotated[str, typer.Option(help="A second directory or git revision, side by side.")] = "",
    label_delay: Annotated[str, typer.Option(help="When a transaction's label is known, such as 7d.")] = "7d",
    budget: Annotated[int, typer.Option(min=1, help="Alerts, and cards, that people look at a day.")] = 50,
    since: Annotated[str, typer.Option("--from", help="First day counted, such as 2026-10-01 (UTC).")] = "",
    until: Annotated[str, typer.Option("--to", help="First day not counted any more.")] = "",
    labels: Annotated[
        Path | None, typer.Option(help="Labels in a file of their own, when the mapping says how.")
    ] = None,
    rejected: Annotated[Path | None, typer.Option(help="Write refused rows here, with line and reason.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that decide.")] = 2,
    json_file: Annotated[str, typer.Option("--json", help="Write all numbers here; - prints them instead.")] = "",
    html_file: Annotated[Path | None, typer.Option("--html", help="Write a report with plots here.")] = None,
) -> None:
    """Run rules over history, without side effects, and say how good they are.

    Example: `medallion backtest samples/european_cards.csv.gz --mapping samples/european_cards.mapping.yaml`
    """
    import json

    from fraud_domain.rules.durations import parse_duration
    from medallion_services.backtest.console import show
    from medallion_services.backtest.html import page
    from medallion_services.backtest.rule_sets import rule_set
    from medallion_services.backtest.run import LAKE, Options, run_backtest
    from medallion_services.mapping.loading import load_mapping

    settings = Settings()
    try:
        delay = parse_duration(label_delay)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--label-delay") from None
    directory = settings.rules.directory
    sets = [rule_set(name, directory) for name in (rules or str(directory), against) if name]
    options = Options(
        delay, budget, _day(since, "--from"), _day(until, "--to"), workers, labels=labels, rejected=rejected
    )
    report = run_backtest(
        settings,
        None if source == LAKE else Path(source),
        load_mapping(mapping) if mapping else None,
        sets,
        options,
        settings.token_key,
        lambda text: typer.echo(text, err=True),
    )
    content = report.as_json()
    if html_file:
        html_file.write_text(page(content), encoding="utf-8")
    if json_file == "-":
        typer.echo(json.dumps(content))
        return
    if json_file:
        Path(json_file).write_text(json.dumps(content, indent=1), encoding="utf-8")
    show(content)


def _day(text: str, option: str) -> int | None:
    if not text:
        return None
    try:
        return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()) * 1_000_000
    except ValueError:
        raise typer.BadParameter("expected a day such as 2026-10-01", param_hint=option) from None

"""`medallion lake`: the Delta tables in SQL, without Spark."""

import csv
import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from fraud_domain.settings import Settings

if TYPE_CHECKING:
    from medallion_services.lake_query.asking import Answer

lake_app = typer.Typer(no_args_is_help=True, help="The Delta tables in SQL, without Spark.")


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


As = Annotated[Format, typer.Option("--format", help="table for people, csv or json for programs.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many rows.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(lake_app, name="lake")


@lake_app.command()
def tables() -> None:
    """Every table with what it holds, and every named question."""
    from fraud_domain.tables import delta_tables
    from medallion_services.lake_query.asking import questions

    for spec in delta_tables():
        typer.echo(f"{spec.full_name:<34} {spec.description}")
    typer.echo("\nquestions, for `medallion lake ask`")
    for name, text in questions().items():
        typer.echo(f"{name:<34} {text}")


@lake_app.command()
def ask(name: Annotated[str, typer.Argument(metavar="QUESTION")], limit: Limit = 20, as_: As = Format.TABLE) -> None:
    """A question that has a name, such as `medallion lake ask missed_fraud`."""
    from medallion_services.lake_query.asking import ask_by_name

    _show(ask_by_name(Settings(), name, limit), as_)


@lake_app.command()
def sql(query: Annotated[str, typer.Argument(metavar="QUERY")], limit: Limit = 100, as_: As = Format.TABLE) -> None:
    """Any query in DuckDB's SQL; nothing can be changed by it.

    Example: `medallion lake sql "SELECT level, count(*) FROM gold.fraud_alerts GROUP BY 1"`
    """
    from medallion_services.lake_query.asking import ask as answer_to

    _show(answer_to(Settings(), query, limit), as_)


def _show(answer: "Answer", as_: Format) -> None:
    if as_ is Format.CSV:
        writer = csv.writer(sys.stdout)
        writer.writerow(answer.columns)
        writer.writerows(answer.rows)
    elif as_ is Format.JSON:
        rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
        typer.echo(json.dumps(rows, indent=2, default=str))
    else:
        from rich.console import Console
        from rich.table import Table

        shown = Table(*answer.columns, box=None, header_style="bold")
        for row in answer.rows:
            shown.add_row(*("" if value is None else str(value) for value in row))
        Console().print(shown)
        if not answer.rows:
            typer.echo("no rows")

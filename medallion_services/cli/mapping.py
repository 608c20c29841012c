"""`medallion mapping`: see what a mapping makes of a file, before anything is sent."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraud_domain.settings import Settings

if TYPE_CHECKING:
    from medallion_services.mapping.checking import CheckReport

mapping_app = typer.Typer(no_args_is_help=True, help="Mappings of foreign files to the event contract.")
_SHOWN_ROWS = 3


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(mapping_app, name="mapping")


# A group with one command would lose that command's name.
@mapping_app.callback()
def _mapping() -> None:
    """Mappings of foreign files to the event contract."""


@mapping_app.command()
def check(
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON Lines, also with gzip.")],
    mapping: Annotated[Path, typer.Option("--mapping", "-m", help="The *.mapping.yaml.")],
    rows: Annotated[int, typer.Option(min=1, help="Rows to look at.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: the same as one JSON object.")] = False,
) -> None:
    """Map the first rows: source and contract values, refused rows with reasons, and rules that cannot speak."""
    import json

    from fraud_domain.rules import load_catalogue
    from medallion_services.embedded.secrets import ensure_secrets
    from medallion_services.mapping.checking import check_mapping
    from medallion_services.mapping.loading import load_mapping

    settings = Settings()
    catalogue = load_catalogue(settings.rules.directory)

    def token_key() -> "object":
        ensure_secrets(settings)
        return settings.token_key()

    report = check_mapping(file, load_mapping(mapping), rows, catalogue, token_key)  # type: ignore[arg-type]
    if as_json:
        typer.echo(json.dumps(report.as_json(), ensure_ascii=False, indent=2))
    else:
        _show(report)


def _show(report: "CheckReport") -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    for row in report.rows[:_SHOWN_ROWS]:
        fraud = "" if row.fraud is None else f", label: {'fraud' if row.fraud else 'legit'}"
        table = Table("contract field", "from", "expression", "becomes", box=box.SIMPLE_HEAD, pad_edge=False)
        table.title, table.title_justify = f"line {row.line}{fraud}", "left"
        for each in row.values:
            table.add_row(*(escape(text) for text in (each.field, each.before, each.source, each.after or "-")))
        console.print(table)
    console.print(
        f"[bold]{len(report.rows)}[/] of the first {len(report.rows) + len(report.refused)} rows are accepted"
    )
    if report.refused:
        table = Table("line", "reason", "field", "value", box=box.SIMPLE_HEAD, pad_edge=False)
        table.title, table.title_justify = "refused", "left"
        for refusal in report.refused:
            shown = refusal.as_json()
            table.add_row(*(escape(str(shown[name])) for name in ("line", "reason", "field", "value")))
        console.print(table)
    if report.unused_columns:
        console.print(f"[bold]columns not used[/] {escape(', '.join(report.unused_columns))}", soft_wrap=True)
    console.print(f"[bold]contract fields that stay empty[/] {', '.join(report.empty_fields)}", soft_wrap=True)
    if report.silent_rules:
        console.print("[bold]rules that can never speak without them[/]")
        for rule in report.silent_rules:
            console.print(f"  {rule.rule_id} {escape(rule.title)} [dim]({', '.join(rule.fields)})[/]", soft_wrap=True)

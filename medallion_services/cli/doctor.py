"""`medallion doctor`: is this installation sound, and what to do where it is not."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from fraud_domain.settings import Settings

if TYPE_CHECKING:
    from medallion_services.doctor.finding import Finding


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs: the same as one JSON object.")] = False,
) -> None:
    """Look at versions, ports, disk, memory, files, clocks, stores and checkpoints; exit code 1 on a problem.

    It changes nothing, and works before the first start, while the stack runs and when it does not start.
    """
    from medallion_services.doctor.examine import examine
    from medallion_services.doctor.finding import healthy

    findings = examine(Settings())
    if as_json:
        document = {"healthy": healthy(findings), "findings": [asdict(each) for each in findings]}
        typer.echo(json.dumps(document, indent=2))
    else:
        _show(findings)
    raise typer.Exit(0 if healthy(findings) else 1)


def _show(findings: "tuple[Finding, ...]") -> None:
    from rich.console import Console
    from rich.markup import escape

    from medallion_services.doctor.finding import Level

    marks = {Level.OK: "[green]✓[/]", Level.WARNING: "[yellow]![/]", Level.PROBLEM: "[red]✗[/]"}
    console = Console(highlight=False, soft_wrap=True)
    for each in findings:
        console.print(f"{marks[each.level]} {escape(each.subject):<15} {escape(each.what)}")
        if each.advice:
            console.print(f"  {'':<15} → {escape(each.advice)}")
    counted = {level: sum(each.level is level for each in findings) for level in Level}
    console.print(f"{counted[Level.PROBLEM]} problems, {counted[Level.WARNING]} warnings, {counted[Level.OK]} ok")

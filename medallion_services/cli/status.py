"""`medallion status`: does everything work, and how fast."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from fraud_domain.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

    from medallion_services.embedded.health import Health


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs: the same as one JSON object.")] = False,
) -> None:
    """Show the health of every component and stream; the exit code is 0 when all are healthy, else 1."""
    from medallion_services.embedded.health import examine

    health = examine(Settings(), datetime.now(UTC))
    if as_json:
        typer.echo(json.dumps({"healthy": health.healthy, **asdict(health)}, indent=2))
    else:
        _show(health)
    raise typer.Exit(0 if health.healthy else 1)


def _mark(healthy: bool) -> str:
    return "[green]✓[/]" if healthy else "[red]✗[/]"


def _number(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:,.0f}{unit}"


def _table(*columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def _show(health: "Health") -> None:
    from rich.console import Console

    from medallion_services.cli.console import label

    console = Console(highlight=False)
    owner = f"process {health.owner_pid}, {health.phase}" if health.owner_pid else "not running (start: medallion up)"
    console.print(f"[bold]stack[/] {owner}")
    components = _table("", "component", "")
    for component in health.components:
        components.add_row(_mark(component.healthy), label(component.name), component.detail)
    console.print(components)
    streams = _table("", "stream", "state", "heartbeat", "batch", "rows/s", "batch took", "lag")
    for stream in health.streams:
        streams.add_row(
            _mark(stream.healthy),
            stream.name,
            stream.state,
            _number(stream.beat_age_seconds, " s ago"),
            _number(stream.batch_id),
            _number(stream.rows_per_second),
            _number(stream.batch_ms, " ms"),
            _number(stream.lag_rows, " rows"),
        )
    console.print(streams)
    if health.latency is not None:
        latency = health.latency
        console.print(
            f"[bold]alerts[/] of the last 10 minutes: {latency.alerts}, Kafka to alert "
            f"p50 {_number(latency.p50_ms, ' ms')}, p99 {_number(latency.p99_ms, ' ms')}"
        )

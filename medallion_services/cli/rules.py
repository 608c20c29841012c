"""`medallion rules`: look at the catalogue, check it, publish it, explain an alert."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraud_domain.settings import Settings

if TYPE_CHECKING:
    from fraud_domain.rules import Catalogue, Rule

rules_app = typer.Typer(no_args_is_help=True, help="The fraud rules: look, check, publish, explain.")
Directory = Annotated[
    Path | None, typer.Option("--rules", exists=True, file_okay=False, help="Rule files; default: the project's.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(rules_app, name="rules")


@rules_app.command("list")
def list_rules(rules: Directory = None, as_json: AsJson = False) -> None:
    """Every rule with its status, key, window, weight and typology."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from fraud_domain.rules.durations import format_duration

    catalogue = _catalogue(rules)
    lines = [
        (r.id, r.status.value, r.key.value, format_duration(r.window), r.weight, r.strength.value, r.typology, r.title)
        for r in catalogue.rules
    ]
    names = ("rule", "status", "key", "window", "weight", "strength", "typology", "title")
    if as_json:
        typer.echo(json.dumps([dict(zip(names, line, strict=True)) for line in lines], indent=2))
        return
    table = Table(*names, box=box.SIMPLE_HEAD, pad_edge=False)
    for line in lines:
        table.add_row(*map(str, line))
    Console(highlight=False).print(table)
    typer.echo(f"{len(lines)} rules in {len(catalogue.typologies)} typologies, rule set {catalogue.version}")


@rules_app.command()
def show(rule_id: Annotated[str, typer.Argument(metavar="RULE")], rules: Directory = None) -> None:
    """One rule in words: what it asks, of whose history, and which examples prove it."""
    from fraud_domain.rules.durations import format_duration

    rule = _rule(_catalogue(rules), rule_id)
    typer.echo(f"{rule.id} version {rule.version} ({rule.version_hash}), {rule.status.value}: {rule.title}")
    typer.echo(f"  {rule.file}:{rule.line}, typology {rule.typology}, owner {rule.owner}")
    typer.echo(f"  looks at the {format_duration(rule.window)} before of the same {rule.key.value}")
    if rule.applies:
        typer.echo(f"  only when {rule.applies.source}")
    if rule.min_history:
        typer.echo(f"  abstains with fewer than {rule.min_history} earlier events")
    for name, feature in rule.features.items():
        what = f"{feature.aggregate.value} of {feature.field or 'events'}"
        more = f" where {feature.where.source}" if feature.where else ""
        typer.echo(f"  {name} = {what} ({feature.of.value}, {format_duration(feature.window)}){more}")
    for name, parameter in rule.parameters.items():
        typer.echo(f"  {name} = {_plain(parameter.value)}")
    typer.echo(f"  hits when {rule.condition.source}")
    typer.echo(f"  adds {rule.weight} ({rule.strength.value}): {rule.reason.source}")
    for group, fixtures in (("hits", rule.positive), ("does not hit", rule.near_miss)):
        for fixture in fixtures:
            typer.echo(f"  {group}: {fixture.name}")


@rules_app.command()
def validate(rules: Directory = None) -> None:
    """Check every rule file and every fixture; every problem is listed with file and line.

    Example: `medallion rules validate --rules my-rules`
    """
    from medallion_services.rule_sets import read_rule_set

    found = read_rule_set(rules or Settings().rules.directory)
    fixtures = sum(len(rule.positive) + len(rule.near_miss) for rule in found.catalogue.rules)
    typer.echo(f"{len(found.catalogue.rules)} rules are sound, {fixtures} fixtures hold; rule set {found.version}")


@rules_app.command()
def publish(
    note: Annotated[str, typer.Option("--note", "-n", help="Why; kept with the version.")] = "",
    rules: Directory = None,
) -> None:
    """Put the rule files in force without stopping anything.

    The alert lane takes them up at its next batch and records which; Dagster reloads its checks.
    """
    import getpass

    from medallion_services.dagster_reload import reload_definitions
    from medallion_services.rule_sets import publish as publish_set
    from medallion_services.rule_sets import read_rule_set

    settings = Settings()
    done = publish_set(settings, read_rule_set(rules or settings.rules.directory), getpass.getuser(), note)
    if not done.anything:
        typer.echo(f"rule set {done.version} is in force already")
        return
    typer.echo(f"rule set {done.version} published; it was {done.before or 'none'}")
    for word, names in (("added", done.added), ("changed", done.changed), ("removed", done.removed)):
        if names:
            typer.echo(f"  {word}: {', '.join(names)}")
    typer.echo(
        "the histories stay: a changed threshold or window judges by what they hold, a field that no rule read"
        f" before is known from now on; they reach back {settings.rules.history_days} days"
    )
    problem = reload_definitions(settings)
    typer.echo(problem or "Dagster has reloaded its definitions: the checks of new rules are there")


@rules_app.command()
def history(as_json: AsJson = False) -> None:
    """Which rule sets were published, by whom, and the first batch that each query judged by them."""
    from dataclasses import asdict

    from medallion_services.rule_sets import activations

    found = activations(Settings())
    if as_json:
        typer.echo(json.dumps([asdict(activation) for activation in found], indent=2, default=str))
        return
    for each in found:
        since = ", ".join(f"{query} batch {batch}" for query, batch in sorted(each.boundaries.items()))
        when = f"{each.requested_at:%Y-%m-%d %H:%M:%S %Z}"
        typer.echo(f"{when}  {each.version}  by {each.requested_by}: {since or 'waiting'}")


@rules_app.command()
def explain(alert_id: Annotated[str, typer.Argument(metavar="ALERT_ID")], as_json: AsJson = False) -> None:
    """Why an alert was raised: each reason with what was seen, the limit, the window and the history behind it."""
    import psycopg
    from psycopg.rows import dict_row

    from medallion_services.errors import UserError

    with psycopg.connect(**Settings().postgres_parameters("fraud_reader"), row_factory=dict_row) as connection:
        alert = connection.execute("SELECT * FROM fraud.alerts WHERE alert_id = %s", (alert_id,)).fetchone()
    if alert is None:
        raise UserError(f"there is no alert '{alert_id}'; `medallion alerts tail` shows the newest")
    if as_json:
        typer.echo(json.dumps(alert, indent=2, default=str))
        return
    for line in explanation(alert):
        typer.echo(line)


def explanation(alert: dict[str, Any]) -> list[str]:
    """An alert row as lines for people."""
    lines = [
        f"{alert['level']} alert, score {alert['score']:g}, {alert['typology']}:"
        f" {alert['subject_kind']} {alert['subject']}",
        f"transaction {alert['transaction_id']} of {alert['event_time']:%Y-%m-%d %H:%M:%S %Z}:"
        f" {alert['amount']} {alert['currency']}, {alert['type']} by {alert['channel']}",
    ]
    for reason in alert["reasons"]:
        lines.append(f"  +{reason['contribution']:g}  {reason['rule_id']} {reason['title']}: {reason['text']}")
        lines.append(
            f"       seen {reason['observed']}, limit {reason['threshold']}, window {reason['window']},"
            f" {reason['history']} earlier events, weight {reason['weight']}, rule version {reason['rule_version']}"
        )
    lines.append(
        f"rule set {alert['rule_set_version']}, message {alert['topic']}/{alert['partition']} offset {alert['offset']}"
    )
    return lines


def _catalogue(directory: Path | None) -> "Catalogue":
    from fraud_domain.rules import load_catalogue

    return load_catalogue(directory or Settings().rules.directory)


def _rule(catalogue: "Catalogue", rule_id: str) -> "Rule":
    from difflib import get_close_matches

    from medallion_services.errors import UserError

    try:
        return catalogue.rule(rule_id.upper())
    except KeyError:
        near = get_close_matches(rule_id.upper(), [rule.id for rule in catalogue.rules], n=3, cutoff=0.4)
        choice = ", ".join(near) or "one of `medallion rules list`"
        raise UserError(f"there is no rule '{rule_id}'; did you mean {choice}?") from None


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)

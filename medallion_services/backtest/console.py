"""A backtest on the terminal."""

from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from medallion_services.backtest.wording import RULE_COLUMNS, overall_lines, rule_cells

_OVERLAP_FROM = 0.5


def show(report: dict[str, Any], console: Console | None = None) -> None:
    """Print the tables of a report (`Report.as_json`)."""
    out = console or Console(highlight=False)
    totals, sets = report["totals"], report["rule_sets"]
    out.print(
        f"[bold]{escape(report['source'])}[/] {totals['transactions']:,} transactions, {totals['frauds']:,} frauds on "
        f"{totals['compromised_cards']:,} of {totals['cards']:,} cards, {totals['first']} to {totals['last']}",
        soft_wrap=True,
    )
    table = _table("", *(escape(each["name"]) for each in sets), *(["difference"] if len(sets) == 2 else []))
    for label, values, difference in overall_lines(sets):
        table.add_row(label, *values, *([difference] if len(sets) == 2 else []))
    out.print(table)
    for each in sets:
        rules = _table(*RULE_COLUMNS)
        rules.title, rules.title_justify = f"{escape(each['name'])} {each['version']}", "left"
        for rule in each["rules"]:
            rules.add_row(*rule_cells(rule))
        out.print(rules)
        close = [pair for pair in each["overlaps"] if pair["jaccard"] >= _OVERLAP_FROM]
        for pair in sorted(close, key=lambda pair: -float(pair["jaccard"])):
            out.print(
                f"{pair['a']} and {pair['b']} hit mostly the same: {pair['both']:,}, Jaccard {pair['jaccard']:.2f}"
            )


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table

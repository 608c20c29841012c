"""The outcome of a backtest as metadata of an asset."""

from typing import Any

import dagster as dg

_FIGURES = (
    "alerts", "precision", "recall", "budget_precision", "budget_recall", "average_precision", "auc", "card_precision",
)  # fmt: skip


def metadata(report: dict[str, Any]) -> dict[str, dg.MetadataValue]:
    """Figures and a table of the rules, of what `medallion backtest --json` writes."""
    ours = report["rule_sets"][0]
    found: dict[str, dg.MetadataValue] = {
        "dagster/row_count": dg.MetadataValue.int(report["totals"]["transactions"]),
        "frauds": dg.MetadataValue.int(report["totals"]["frauds"]),
        "rule_set_version": dg.MetadataValue.text(ours["version"]),
        "rules": dg.MetadataValue.md(rule_table(ours["rules"])),
    }
    for name in _FIGURES:
        value = ours["overall"][name]
        if value is not None:
            found[name] = dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.float(value)
    return found


def rule_table(rules: list[dict[str, Any]]) -> str:
    """The rules that hit, as a table in Markdown; the others by name."""
    lines = ["| rule | hits | alerts | precision | recall |", "|---|--:|--:|--:|--:|"]
    for rule in rules:
        if not rule["dormant"]:
            shares = (_percent(rule[name]) for name in ("precision", "recall"))
            lines.append(f"| {rule['rule_id']} | {rule['hits']} | {rule['alerts']} | {' | '.join(shares)} |")
    silent = [rule["rule_id"] for rule in rules if rule["dormant"]]
    return "\n".join(lines) + (f"\n\nno hit: {', '.join(silent)}" if silent else "")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"

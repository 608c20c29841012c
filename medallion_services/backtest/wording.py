"""The numbers of a backtest in words: one list of lines for the terminal and for the page."""

from typing import Any

Line = tuple[str, list[str], str]
"""What it is, its value in each rule set, and the difference when there are two."""


def percent(value: float | None) -> str:
    """A share, to a tenth of a percent."""
    return "-" if value is None else f"{value:.1%}"


def ratio(value: float | None) -> str:
    """False positives for one true one."""
    return "-" if value is None else f"{value:.1f} : 1"


def plain(value: float | None) -> str:
    """A number as it is read."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def score(value: float | None) -> str:
    """A number between 0 and 1."""
    return "-" if value is None else f"{value:.3f}"


def span(seconds: float | None) -> str:
    """A time in its handiest unit."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def within(interval: list[float] | tuple[float, float] | None) -> str:
    """A confidence interval, to follow a share."""
    return f" ({interval[0]:.1%} to {interval[1]:.1%})" if interval else ""


def overall_lines(sets: list[dict[str, Any]]) -> list[Line]:
    """The table about whole rule sets."""
    k = sets[0]["overall"]["budget"]
    shares = [
        ("precision of alerts", "precision"),
        ("recall of frauds", "recall"),
        (f"precision of the first {k} a day", "budget_precision"),
        (f"recall of the first {k} a day", "budget_recall"),
        (f"card precision, first {k} cards a day", "card_precision"),
        ("  best possible on these days", "card_precision_best_possible"),
        ("  compromised cards found among them", "card_recall"),
    ]
    lines: list[Line] = [
        _line(sets, "alerts", "alerts", plain, plain),
        _line(sets, "alerts a day", "alerts_per_day", plain, plain),
    ]
    for label, name in shares:
        values = [percent(s["overall"][name]) + within(s["overall"].get(f"{name}_interval")) for s in sets]
        lines.append((label, values, _delta(sets, name, lambda value: f"{value * 100:+.1f} points")))
    lines += [
        _line(sets, "false positives", "false_positive_ratio", ratio, plain),
        _line(sets, "average precision", "average_precision", score, score),
        _line(sets, "AUC", "auc", score, score),
        _line(
            sets, "median delay from a card's first fraud to its alert", "detection_delay_median_seconds", span, span
        ),
        _line(sets, "frauds on a card before its alert, mean", "frauds_before_detection_mean", plain, plain),
    ]
    for currency in sorted({name for s in sets for name in s["overall"]["value"]}):
        money = [s["overall"]["value"].get(currency) for s in sets]
        told = [f"{v['caught']:,.0f} of {v['fraud']:,.0f} ({percent(v['share'])})" if v else "-" for v in money]
        lines.append((f"fraud caught, {currency}", told, ""))
    return lines


def _line(sets: list[dict[str, Any]], label: str, name: str, form: Any, difference: Any) -> Line:
    def signed(value: float) -> str:
        return ("+" if value >= 0 else "-") + str(difference(abs(value)))

    return label, [form(s["overall"][name]) for s in sets], _delta(sets, name, signed)


def _delta(sets: list[dict[str, Any]], name: str, form: Any) -> str:
    values = [s["overall"][name] for s in sets]
    return str(form(values[0] - values[1])) if len(values) == 2 and None not in values else ""


RULE_COLUMNS = (
    "rule", "status", "hits", "alerts", "precision", "recall", "only this rule", "false positives", "abstained",
)  # fmt: skip


def rule_cells(rule: dict[str, Any]) -> list[str]:
    """A row of the table about single rules, in the order of `RULE_COLUMNS`."""
    return [
        rule["rule_id"],
        rule["status"] + (", dormant" if rule["dormant"] else ""),
        plain(rule["hits"]),
        plain(rule["alerts"]),
        percent(rule["precision"]),
        percent(rule["recall"]),
        f"{rule['incremental_frauds']} ({percent(rule['incremental_recall'])})",
        ratio(rule["false_positive_ratio"]),
        percent(rule["abstained"]),
    ]

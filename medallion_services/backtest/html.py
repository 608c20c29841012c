"""A backtest as one page that needs nothing else: text, tables, plots; fit to be attached to a review."""

from datetime import UTC, datetime
from html import escape
from typing import Any

from medallion_services.backtest.svg import COLOURS, curves, stacked
from medallion_services.backtest.wording import RULE_COLUMNS, overall_lines, plain, rule_cells

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;color:#1e293b;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}table{border-collapse:collapse;width:100%;font-size:14px}
th,td{padding:.3rem .6rem;border-bottom:1px solid #e2e8f0;text-align:right;font-variant-numeric:tabular-nums}
th:first-child,td:first-child{text-align:left}thead th{border-bottom:2px solid #64748b}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:1.5rem}figure{margin:0}
svg{width:100%;font-size:11px;fill:#475569}.axis{stroke:#94a3b8;fill:none}figcaption{font-size:13px;color:#475569}
.scroll{overflow-x:auto}.matrix td,.matrix th{padding:.15rem .3rem;font-size:11px;text-align:center}
.dormant td{color:#64748b}.note{color:#475569;font-size:13px}
"""
_NOTES = """
<p class="note">A transaction that no label calls fraud counts as honest. Precision and recall of a rule are over its
hits; <em>only this rule</em> counts alerted frauds that no other active rule hit. The first k of a day are the k
highest scores. Card precision: of the k cards shown on a day, how many had a fraud that day; a card leaves the day
after it was shown and compromised, and as soon as a label told of it. Intervals are Wilson's, 95 %. Times are UTC.</p>
"""


def page(report: dict[str, Any]) -> str:
    """The page of a report (`Report.as_json`)."""
    totals, sets, options = report["totals"], report["rule_sets"], report["options"]
    title = f"Backtest of {escape(report['source'])}"
    refused = sum(report["refused"].values())
    facts = (
        f"{totals['transactions']:,} transactions, {totals['frauds']:,} frauds on {totals['compromised_cards']:,} of "
        f"{totals['cards']:,} cards, {escape(totals['first'])} to {escape(totals['last'])}. "
        f"{report['rows_read']:,} rows read, {refused:,} refused. "
        f"Labels known after {options['label_delay_days']:g} days; budget {options['budget_per_day']} a day."
    )
    parts = [f"<h1>{title}</h1><p>{facts}</p>", _legend(sets), _overall(sets), _plots(sets)]
    for each in sets:
        parts += [_rules(each), _matrix(each)]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}<h2>How to read this</h2>{_NOTES}</body></html>\n"
    )


def _legend(sets: list[dict[str, Any]]) -> str:
    items = (
        f'<li><b style="color:{colour}">{escape(each["name"])}</b> rule set {escape(each["version"])}, '
        f"{len(each['rules'])} rules</li>"
        for colour, each in zip(COLOURS, sets, strict=False)
    )
    return f"<ul>{''.join(items)}</ul>"


def _row(cells: list[str], tag: str = "td", kind: str = "") -> str:
    inner = "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells)
    return f"<tr{f' class={kind!r}' if kind else ''}>{inner}</tr>"


def _overall(sets: list[dict[str, Any]]) -> str:
    two = len(sets) == 2
    head = _row(["", *(each["name"] for each in sets), *(["difference"] if two else [])], "th")
    rows = [_row([label, *values, *([delta] if two else [])]) for label, values, delta in overall_lines(sets)]
    return f"<h2>Overall</h2><table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _plots(sets: list[dict[str, Any]]) -> str:
    series = [[(recall, precision) for _, recall, precision in each["overall"]["curve"]] for each in sets]
    plots = [
        (curves("Precision and recall", series, "recall", "precision"), "Precision over recall, a point per score")
    ]
    for each in sets:
        daily = each["overall"]["daily"]
        bars = [(_day(day), right, alerts - right) for day, alerts, right, _ in daily]
        plots.append((stacked("Alerts by day", bars, "day", "alerts"), f"{each['name']}: alerts by day, blue on fraud"))
    figures = (f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>" for svg, caption in plots)
    return f'<h2>Plots</h2><div class="plots">{"".join(figures)}</div>'


def _day(number: int) -> str:
    return f"{datetime.fromtimestamp(number * 86_400, UTC):%Y-%m-%d}"


def _rules(each: dict[str, Any]) -> str:
    rows = [_row(rule_cells(rule), kind="dormant" if rule["dormant"] else "") for rule in each["rules"]]
    head = _row(list(RULE_COLUMNS), "th")
    body = f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<h2>Rules of {escape(each["name"])}</h2><div class="scroll">{body}</div>'


def _matrix(each: dict[str, Any]) -> str:
    pairs = {(pair["a"], pair["b"]): pair for pair in each["overlaps"]}
    names = [rule["rule_id"] for rule in each["rules"] if not rule["dormant"]]
    rows = []
    for a in names:
        cells = [f"<th>{escape(a)}</th>"]
        for b in names:
            pair = pairs.get((a, b)) or pairs.get((b, a))
            depth = 0.0 if pair is None else float(pair["jaccard"])
            text = "" if pair is None or a == b else plain(pair["both"])
            cells.append(
                f'<td style="background:rgba(11,107,203,{depth:.2f})" title="{escape(a)} and {escape(b)}: '
                f'Jaccard {depth:.2f}">{text}</td>'
            )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(f"<th>{escape(name)}</th>" for name in ("", *names))
    note = '<p class="note">Transactions that both rules hit; the darker, the more alike.</p>'
    body = f'<div class="scroll"><table class="matrix"><tr>{head}</tr>{"".join(rows)}</table></div>'
    return f"<h2>Overlap of {escape(each['name'])}</h2>{note}{body}"

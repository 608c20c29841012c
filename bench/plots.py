"""The pictures of docs/performance.md, drawn from what the measurements left: `python -m bench.plots`.

Needs a Chromium (CHROMIUM names it, /usr/bin/chromium by default), which draws them with the charts of the dashboard.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from playwright.sync_api import sync_playwright

from fraud_domain.settings import PROJECT_ROOT

RESULTS, PICTURES = PROJECT_ROOT / "bench" / "results", PROJECT_ROOT / "docs" / "pictures"
_CHARTS = PROJECT_ROOT / "medallion_services" / "dashboard" / "static" / "vendor" / "echarts.min.js"
_DRAW = """options => {
    const chart = echarts.init(null, null, {renderer: 'svg', ssr: true, width: 860, height: 340});
    chart.setOption(options);
    const drawn = chart.renderToSVGString();
    chart.dispose();
    return drawn;
}"""
_COLOURS = ["#1f6f8b", "#e08e45", "#7a7a7a", "#b23a48", "#5b8c5a"]
Options = dict[str, Any]


def _bars(title: str, names: list[str], series: dict[str, list[Any]], unit: str, logarithmic: bool = False) -> Options:
    """Bars beside each other; a figure that is missing is a gap."""
    return {
        "animation": False, "backgroundColor": "#ffffff", "color": _COLOURS,
        "title": {"text": title, "left": 10, "top": 6, "textStyle": {"fontSize": 15}},
        "legend": {"top": 34, "right": 20},
        "grid": {"left": 70, "right": 20, "top": 70, "bottom": 34},
        "xAxis": {"type": "category", "data": names, "axisLabel": {"interval": 0}},
        "yAxis": {"type": "log" if logarithmic else "value", "name": unit},
        "series": [
            {"type": "bar", "name": name, "data": values, "label": {"show": True, "position": "top"}}
            for name, values in series.items()
        ],
    }  # fmt: skip


def _by_arm(rounds: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The mean of an arm's rounds; None where one has no figure."""
    arms: dict[str, list[dict[str, Any]]] = {}
    for each in rounds:
        arms.setdefault(each["arm"], []).append(each)
    return {
        name: {
            figure: None if any(each.get(figure) is None for each in mine) else sum(e[figure] for e in mine) / len(mine)
            for figure in ("p50_ms", "p99_ms", "cpu_seconds_a_minute")
        }
        for name, mine in arms.items()
    }


def _rounded(values: list[Any]) -> list[Any]:
    return [None if value is None else round(value, 1) for value in values]


def latency(document: dict[str, Any]) -> Options:
    """Kafka to the row of the alert, by arm."""
    arms = _by_arm(document["rounds"])
    series = {name: _rounded([arm[f"{name}_ms"] for arm in arms.values()]) for name in ("p50", "p99")}
    title = f"Kafka to the alert's row, {document['rate']:.0f} events a second"
    return _bars(title, list(arms), series, "ms", logarithmic=True)


def cpu(document: dict[str, Any]) -> Options:
    """CPU of each arm's processes."""
    arms = _by_arm(document["rounds"])
    used = _rounded([arm["cpu_seconds_a_minute"] for arm in arms.values()])
    title = f"CPU of the arm's own processes, {document['rate']:.0f} events a second"
    return _bars(title, list(arms), {"seconds a minute": used}, "s")


def cost(document: dict[str, Any]) -> Options:
    """CPU an event, by process."""
    lanes = document["lanes"]
    parts = {
        "driver, Java": "driver_java",
        "driver, Python": "driver_python",
        "Kafka": "kafka",
        "PostgreSQL": "postgres",
    }
    series = {shown: [lane[f"{part}_us"] for lane in lanes.values()] for shown, part in parts.items()}
    return _bars("CPU an event with a backlog", list(lanes), series, "µs")


def load(document: dict[str, Any]) -> Options:
    """Rows a second of a load of history, by stage, ours and the design before."""
    rows = document["rows"]
    ours, origin = (
        {name: round(rows / seconds) for name, seconds in document[arm]["stages"].items() if seconds}
        for arm in ("ours", "origin")
    )
    names = [*ours, *(name for name in origin if name not in ours)]
    series = {"ours": [ours.get(name) for name in names], "the design before": [origin.get(name) for name in names]}
    return _bars(f"A load of {rows:,} rows of history", names, series, "rows/s")


PLOTS: dict[str, tuple[str, Callable[[dict[str, Any]], Options]]] = {
    "performance-latency": ("arms.json", latency),
    "performance-cpu": ("arms.json", cpu),
    "performance-rivals": ("rivals.json", latency),
    "performance-cost": ("cost.json", cost),
    "performance-history": ("history_load.json", load),
}
"""By picture: the result it shows, and how."""


def main() -> int:
    """Draw what there are results of."""
    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.add_script_tag(path=str(_CHARTS))
        for name, (result, options) in PLOTS.items():
            if (RESULTS / result).exists():
                drawn = page.evaluate(_DRAW, options(json.loads((RESULTS / result).read_text(encoding="utf-8"))))
                (PICTURES / f"{name}.svg").write_text(drawn + "\n", encoding="utf-8")
                sys.stdout.write(f"{name}.svg\n")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""From Kafka to pixels: how long until an alert's row is painted in a browser, on the platform that is running here.

`python -m bench.pixels [seconds]` opens the queue of the running dashboard in Chromium, notes when each new row is
painted (the browser's clock, which is this machine's), and compares with the Kafka timestamp of the transaction that
raised the alert. Also shows where the time went: Kafka to the committed row, and the row to the page.
"""

import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
from playwright.sync_api import sync_playwright

from fraud_domain.settings import Settings
from medallion_assets_tests.e2e.browser import chromium

RESULT = Path(__file__).parent / "results" / "pixels.json"
_SECONDS = 180.0
_WATCH = """() => {
  window.painted = {};
  const seen = new Set([...document.querySelectorAll('tr[data-alert]')].map((row) => row.dataset.alert));
  new MutationObserver(() => {
    const fresh = [...document.querySelectorAll('tr[data-alert]')].filter((row) => !seen.has(row.dataset.alert));
    for (const row of fresh) {
      seen.add(row.dataset.alert);
      requestAnimationFrame(() => { window.painted[row.dataset.alert] = Date.now(); });
    }
  }).observe(document.body, {childList: true, subtree: true});
}"""


def main() -> int:
    """Watch and write the figures."""
    settings = Settings()
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else _SECONDS
    address = f"http://{settings.dashboard.host}:{settings.dashboard.port}/queue?sort=newest"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(address)
        page.evaluate(_WATCH)
        page.wait_for_timeout(seconds * 1000)
        painted: dict[str, float] = page.evaluate("window.painted")
        browser.close()
    figures = {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "load_average": os.getloadavg()[0],
        "seconds": seconds,
        **spans(painted, _rows(settings, list(painted))),
    }
    RESULT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(RESULT.read_text(encoding="utf-8"))
    return 0 if painted else 1


def spans(painted: dict[str, float], rows: list[tuple[str, float, float]]) -> dict[str, Any]:
    """Percentiles in milliseconds of alerts (id, Kafka time, commit time), all in epoch milliseconds."""
    whole = sorted(painted[alert] - kafka for alert, kafka, _ in rows)
    lane = sorted(committed - kafka for _, kafka, committed in rows)
    page = sorted(painted[alert] - committed for alert, _, committed in rows)
    named = {"kafka_to_pixels_ms": whole, "kafka_to_row_ms": lane, "row_to_pixels_ms": page}
    return {"alerts": len(rows)} | {
        name: {"p50": round(statistics.median(each)), "p90": round(each[int(len(each) * 0.9)]), "max": round(each[-1])}
        for name, each in named.items()
        if each
    }


def _rows(settings: Settings, alerts: list[str]) -> list[tuple[str, float, float]]:
    with psycopg.connect(**settings.postgres_parameters("fraud_reader")) as connection:
        return connection.execute(
            "SELECT alert_id, extract(epoch FROM kafka_timestamp)::float8 * 1000,"
            " extract(epoch FROM detected_at)::float8 * 1000 FROM fraud.alerts WHERE alert_id = ANY(%s)",
            (alerts,),
        ).fetchall()


if __name__ == "__main__":
    sys.exit(main())

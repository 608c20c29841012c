"""A million alerts: how long every page and API call of the desk takes, and by which plans.

`python -m bench.desk_million [rows]` starts a PostgreSQL of its own, fills it, asks every address twenty times over
the real application (in process, the database over TCP), and writes figures and query plans to `bench/results/`.
Not a test: a limit in milliseconds would fail on a busy machine and say nothing about the code.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg

from fraud_domain.settings import Settings
from medallion_services.dashboard import metrics, queue
from medallion_services.dashboard.app import create_app
from medallion_services.embedded.throwaway import own_database

RESULTS = Path(__file__).parent / "results"
ROUNDS = 20
# Ten typologies, two weeks of alerts, 200,000 customers, scores 40 to 99, seven of ten closed by an analyst.
_ALERTS = """
INSERT INTO fraud.alerts (alert_id, transaction_id, customer_id, card_token, card_last4, merchant_id, event_time,
    amount, currency, type, channel, score, level, typology, rule_set_version, reasons, topic, partition, "offset",
    kafka_timestamp, detected_at, subject_kind, subject, status, disposition, assigned_to)
SELECT md5(n::text), 't' || n, 'c' || (n * 7919 %% 200000), 'tok_k1_' || (n * 7919 %% 200000), '4242',
    'm' || (n * 104729 %% 5000), at, (n * 31 %% 900000)::numeric / 100, (ARRAY['BRL', 'BRL', 'BRL', 'EUR'])[1 + n %% 4],
    (ARRAY['PIX', 'CREDIT_CARD', 'DEBIT_CARD'])[1 + n %% 3],
    (ARRAY['POS', 'ECOMMERCE', 'MOBILE_APP', 'ATM'])[1 + n %% 4],
    score, CASE WHEN score >= 90 THEN 'critical' WHEN score >= 70 THEN 'high' ELSE 'medium' END,
    'typology_' || n %% 10, 'v',
    jsonb_build_array(jsonb_build_object('rule_id', 'AMT-1', 'text', 'Spent 812.40 BRL, 6.3x the mean', 'title',
        'Amount', 'contribution', score, 'weight', 25, 'observed', '812.40', 'threshold', '386.7', 'window', '30d',
        'history', 41)),
    'transactions', 0, n, at - interval '150 milliseconds', at, 'customer', 'c' || (n * 7919 %% 200000),
    CASE WHEN n %% 10 < 7 THEN 'closed' WHEN n %% 100 = 99 THEN 'in_review' ELSE 'new' END,
    CASE WHEN n %% 10 < 7 THEN 'false_positive' END, CASE WHEN n %% 100 = 99 THEN 'ana' END
FROM (SELECT n, 40 + (n * 17 %% 6000) / 100.0 AS score, now() - (%(rows)s - n) * interval '14 days' / %(rows)s AS at
      FROM generate_series(%(from)s::bigint, %(to)s::bigint) AS n) AS x
"""
_CONTEXT = """
INSERT INTO fraud.alert_context (alert_id, found, device_id, terminal_id, ip_address, latitude, longitude, state)
SELECT md5(n::text), true, 'd' || n %% 300000, 't' || n %% 20000, '10.0.' || n %% 250 || '.' || n %% 200,
    -23.5 + n %% 10, -46.6 + n %% 7, 'SP' FROM generate_series(%(from)s::bigint, %(to)s::bigint) AS n
"""
_TRAFFIC = """
INSERT INTO mart.transaction_metrics_hour
SELECT date_trunc('hour', now()) - h * interval '1 hour', d, v, 'BRL', 70000, 69000, 1000, 10, 5, 6500000, -100
FROM generate_series(0, 24 * 60) AS h, (VALUES ('all', 'all'), ('channel', 'POS'), ('channel', 'ATM'), ('type', 'PIX'),
    ('state', 'SP'), ('category', '5411'), ('country', 'BR')) AS x(d, v)
"""
_CHUNK = 100_000


def fill(settings: Settings, rows: int, say: Any) -> float:
    """Insert alerts, seven of ten closed, and take them all up; returns microseconds of insert an alert."""
    inserting = 0.0
    with psycopg.connect(**settings.postgres_parameters("fraud_owner"), autocommit=True) as owner:
        for start in range(1, rows + 1, _CHUNK):
            span = {"from": start, "to": min(start + _CHUNK - 1, rows), "rows": rows}
            before = time.perf_counter()
            owner.execute(_ALERTS, span)
            inserting += time.perf_counter() - before
            owner.execute(_CONTEXT, span)
            say(f"{span['to']} alerts")
        before = time.perf_counter()
        while (row := owner.execute("SELECT fraud.adopt_alerts(20000)").fetchone()) and row[0]:
            pass
        say(f"adopted in {time.perf_counter() - before:.0f} s")
        owner.execute(_TRAFFIC)
        owner.execute("VACUUM ANALYZE")
    return inserting / rows * 1e6


def addresses(alert_id: str, case_id: int, cursor: str) -> tuple[str, ...]:
    """Every page and every reading call, the queue in all its views and orders."""
    orders = [(view, sort) for view in queue.View for sort in queue.Sort]
    lists = [
        f"/api/v1/alerts?view={view}&sort={sort}"
        for view, sort in orders
        if view not in queue.BY_TIME_ONLY or sort in (queue.Sort.NEWEST, queue.Sort.OLDEST)
    ]
    filters = ("typology=typology_3", "level=critical", "level=medium", "channel=ATM", "currency=EUR", "q=c4711")
    return (
        "/", "/?period=30d", "/queue", "/queue?view=closed", f"/alerts/{alert_id}", "/cases", f"/cases/{case_id}",
        "/rules", "/streams", "/data", "/snoozes", *lists, *(f"/api/v1/alerts?{each}" for each in filters),
        "/api/v1/alerts?view=all&q=m77", f"/api/v1/alerts?cursor={cursor}", f"/api/v1/alerts/{alert_id}",
        f"/api/v1/alerts/{alert_id}/transactions", "/api/v1/cases", "/api/v1/cases?status=closed",
        f"/api/v1/cases/{case_id}", "/api/v1/snoozes", "/api/v1/rules", "/api/v1/streams", "/api/v1/data",
        *(f"/api/v1/metrics/{name}?period=30d" for name in metrics.METRICS),
    )  # fmt: skip


@asynccontextmanager
async def client(settings: Settings) -> AsyncIterator[tuple[Any, httpx.AsyncClient]]:
    """The application with its background tasks, and a client of it."""
    app = create_app(settings)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=60) as made,
    ):
        yield app.state.desk, made


async def measure(settings: Settings) -> list[tuple[str, float, float, float]]:
    """(address, first, median, p95) in ms. Kept answers are thrown away before each request: the worst case."""
    async with client(settings) as (desk, http):
        listed = (await http.get("/api/v1/alerts?limit=50")).json()
        alert = listed["alerts"][0]
        found = []
        for address in addresses(alert["alert_id"], alert["case_id"], listed["next_cursor"]):
            spent = []
            for _ in range(ROUNDS):
                names = desk.cache._entries.get("names")
                lake = {
                    key: entry
                    for key, entry in desk.cache._entries.items()
                    if isinstance(key, tuple) and key[0] == "lake"
                }
                desk.cache._entries.clear()
                desk.cache._entries.update(lake | ({"names": names} if names else {}))
                before = time.perf_counter()
                answer = await http.get(address)
                spent.append((time.perf_counter() - before) * 1000)
                if answer.status_code != 200:
                    raise SystemExit(f"{address}: {answer.status_code} {answer.text[:300]}")
            found.append((address, spent[0], statistics.median(spent), sorted(spent)[int(0.95 * ROUNDS) - 1]))
        return found


def plans(settings: Settings) -> str:
    """EXPLAIN ANALYZE of the queue in every view and order, and of every metric."""
    parts = []
    with psycopg.connect(**settings.postgres_parameters("fraud_desk"), autocommit=True) as connection:
        since = connection.execute("SELECT now() - interval '30 days'").fetchone()
        for view in queue.View:
            for sort in queue.Sort:
                if view in queue.BY_TIME_ONLY and sort not in (queue.Sort.NEWEST, queue.Sort.OLDEST):
                    continue
                statement, parameters = queue.build(queue.Wanted(view, sort), "ana")
                parts.append(
                    _explain(connection, f"queue {view} by {sort}", statement.as_string(connection), parameters)
                )
        for name, metric in metrics.METRICS.items():
            parts.append(_explain(connection, f"metric {name}", metric.query, {"since": since[0] if since else None}))
    return "\n".join(parts)


def _explain(connection: Any, title: str, statement: str, parameters: dict[str, Any]) -> str:
    rows = connection.execute("EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) " + statement, parameters).fetchall()
    return f"-- {title}\n" + "\n".join(row[0] for row in rows) + "\n"


def main() -> None:
    """Fill, measure, write."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    say = lambda text: sys.stderr.write(text + "\n")  # noqa: E731
    with own_database(dashboard={"requests_per_minute": 1_000_000}) as settings:
        insert = fill(settings, rows, say)
        found = asyncio.run(measure(settings))
        explained = plans(settings)
    lines = [f"{rows:,} alerts, 30 % open; inserting one took {insert:.0f} us with all indexes", ""]
    lines.append(f"{'address':<58}{'first':>9}{'median':>9}{'p95':>9}  ms")
    lines += [f"{address[:57]:<58}{first:9.1f}{median:9.1f}{p95:9.1f}" for address, first, median, p95 in found]
    slow = [each for each in found if each[3] >= 200]
    lines += ["", f"p95 of 200 ms or more: {len(slow)} of {len(found)}"]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "desk_million.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (RESULTS / "desk_million_plans.txt").write_text(explained, encoding="utf-8")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

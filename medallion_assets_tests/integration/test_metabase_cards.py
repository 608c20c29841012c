"""Every card of the Metabase dashboards on a real PostgreSQL, as the reader, over a fortnight of judged traffic."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import TupleRow
from typer.testing import CliRunner

from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_assets_tests.e2e.desk_world import DeskWorld
from medallion_assets_tests.integration import desk
from medallion_assets_tests.pipeline import database
from medallion_services.cli import app
from medallion_services.embedded.throwaway import own_database
from medallion_services.metabase.loading import load
from medallion_services.metabase.provision import READER
from medallion_services.metabase.trying import all_set, run

DASHBOARDS = {each.key: each for each in load()}
CARDS = {
    f"{dashboard.key}/{card.key}": (dashboard, card) for dashboard in DASHBOARDS.values() for card in dashboard.cards
}
each_card = pytest.mark.parametrize("key", CARDS)
FINDINGS = ("confirmed_fraud", "false_positive", "verified", "duplicate")
CLOSED = 40


def close_some(settings: Settings) -> None:
    """Findings in turn for some alerts, as the desk writes them."""
    with database(settings, "fraud_desk") as connection:
        rows = connection.execute("SELECT alert_id FROM fraud.alerts ORDER BY alert_id LIMIT %s", (CLOSED,)).fetchall()
        for number, row in enumerate(rows):
            with connection.transaction():
                connection.execute("SELECT set_config('fraud.actor', 'ana', true)")
                connection.execute(
                    "UPDATE fraud.alerts SET status = 'closed', disposition = %s WHERE alert_id = %s",
                    (FINDINGS[number % len(FINDINGS)], row["alert_id"]),
                )


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    """Alerts of a fortnight and of this minute, findings, traffic, streams, messages, an alarm of operations."""
    with own_database() as made:
        world = DeskWorld(made)
        world.judge(time.time())
        sink = world.sink()
        world.commit(sink, world.alerts)
        world.backdate()
        for _ in range(5):
            desk.add_alert(made, customer_id="often")
        desk.adopt(made)
        world.record_contexts()
        world.write_marts()
        close_some(made)
        with database(made, "fraud_owner") as connection:
            connection.execute(
                "INSERT INTO fraud.ops_alerts (key, severity, title, body, page)"
                " VALUES ('stream:gold', 'critical', 'Gold is silent', 'No heartbeat', 'stream-stopped')"
            )
        yield made
        sink.pool.close()


@pytest.fixture(scope="module")
def reader(settings: Settings) -> Iterator[psycopg.Connection[TupleRow]]:
    with psycopg.connect(**settings.postgres_parameters(READER), autocommit=True) as connection:
        yield connection


def value(reader: psycopg.Connection[TupleRow], key: str, **values: Any) -> Any:
    """What a scalar shows."""
    ((shown,),) = run(reader, *CARDS[key], values)[1]
    return shown


@each_card
def test_card_has_its_columns_and_rows(reader: psycopg.Connection[TupleRow], key: str) -> None:
    dashboard, card = CARDS[key]
    columns, rows = run(reader, dashboard, card, {})
    assert columns == card.shape
    assert rows
    assert any(cell is not None for cell in rows[0])


@each_card
def test_card_runs_with_every_parameter_set(reader: psycopg.Connection[TupleRow], key: str) -> None:
    dashboard, card = CARDS[key]
    columns, _ = run(reader, dashboard, card, all_set(dashboard))
    assert columns == card.shape


def test_figures_are_those_of_the_tables(settings: Settings, reader: psycopg.Connection[TupleRow]) -> None:
    with database(settings) as connection:
        truth = connection.execute(
            "SELECT count(*) AS alerts, count(*) FILTER (WHERE level = 'critical') AS critical,"
            " count(*) FILTER (WHERE type = 'PIX') AS pix,"
            " count(*) FILTER (WHERE disposition = 'confirmed_fraud') AS frauds,"
            " (SELECT sum(transactions) FROM mart.transaction_metrics_hour WHERE dimension = 'all') AS transactions"
            " FROM fraud.alerts"
        ).fetchone()
    assert truth is not None
    assert value(reader, "batch/alerts") == truth["alerts"] > CLOSED
    assert value(reader, "batch/alerts", type="PIX") == truth["pix"] < truth["alerts"]
    assert value(reader, "batch/critical_alerts") == truth["critical"]
    assert value(reader, "batch/frauds") == truth["frauds"] == CLOSED / len(FINDINGS)
    assert value(reader, "batch/transactions") == truth["transactions"]
    assert value(reader, "realtime/alerts_5m") >= 5


def test_totals_are_split_without_remainder(reader: psycopg.Connection[TupleRow]) -> None:
    ((alerts, confirmed, refuted, undecided, not_closed),) = run(reader, *CARDS["batch_detail/totals"], {})[1]
    assert (confirmed, refuted, undecided) == (CLOSED / 4, CLOSED / 2, CLOSED / 4)
    assert alerts == confirmed + refuted + undecided + not_closed


def test_whoever_is_in_the_news_often_is_shown(reader: psycopg.Connection[TupleRow]) -> None:
    _, rows = run(reader, *CARDS["batch_detail/busy_subjects"], {})
    assert ("customer", "often", 5) in [row[:3] for row in rows]


def test_queries_of_grafana_run_too(reader: psycopg.Connection[TupleRow]) -> None:
    dashboard = json.loads((PROJECT_ROOT / "deploy" / "grafana" / "dashboards" / "streams.json").read_text())
    queries = {p["title"]: t["rawSql"] for p in dashboard["panels"] for t in p["targets"] if "rawSql" in t}
    assert queries
    for title, query in queries.items():
        hour = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 > now() - interval '1 hour'", query)
        assert reader.execute(hour.encode()).fetchall(), title


def test_reader_can_change_nothing(reader: psycopg.Connection[TupleRow]) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        reader.execute("DELETE FROM mart.rule_metrics_daily")


def test_command_runs_every_card(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("MEDALLION_POSTGRES__PORT", str(settings.postgres.port))
    done = CliRunner().invoke(app, ["metabase", "check", "--database"])
    assert done.exit_code == 0, done.output
    assert f"{len(CARDS)} cards are right and run" in done.stdout

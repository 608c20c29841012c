"""The lake asked in SQL: every question has an answer, nothing can be changed, mistakes are told in words."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fraud_domain.settings import Settings
from fraud_domain.tables import delta_tables
from medallion_assets.platform import Platform
from medallion_assets_tests.lake_rows import NOW, write
from medallion_services.cli import app
from medallion_services.errors import UserError
from medallion_services.lake_query.asking import ask, ask_by_name, questions

REASONS = json.dumps([{"rule_id": "AMT-1"}, {"rule_id": "GEO-1"}])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A lake with two alerts, one of which was fraud, and one fraud that nobody noticed."""
    made = Settings(data_dir=tmp_path)
    platform = Platform(made)
    for number, (name, alert, label) in enumerate(
        [("found", True, "fraud"), ("wrong", True, "legit"), ("missed", False, "fraud")]
    ):
        row = {"transaction_id": name, "customer_id": "c1", "event_date": NOW.date(), "offset": number}
        write(platform, "silver.transactions", row | {"amount": 10})
        decision = row | {"subject_kind": "customer", "alert": alert, "reasons": REASONS, "shadow": "[]"}
        write(platform, "gold.fraud_decisions", decision | {"abstained": ["VEL-1"]})
        if alert:
            write(platform, "gold.fraud_alerts", decision)
        write(
            platform, "silver.labels", {"transaction_id": name, "label": "legit", "label_time": NOW - timedelta(days=1)}
        )
        write(platform, "silver.labels", {"transaction_id": name, "label": label, "label_time": NOW})
    write(platform, "silver.quarantine", {"reason_code": "NOT_JSON", "topic": "transactions"})
    write(platform, "silver.late_transactions", {"transaction_id": "found", "lateness_seconds": 900.0})
    return made


def test_every_question_has_an_answer_on_a_filled_lake_and_none_on_an_empty_one(
    settings: Settings, tmp_path: Path
) -> None:
    empty = Settings(data_dir=tmp_path / "empty")
    assert len(questions()) >= 8
    for name in questions():
        assert ask_by_name(settings, name).rows, name
        assert ask_by_name(empty, name).rows == [], name


def test_the_newest_label_decides(settings: Settings) -> None:
    precision = ask_by_name(settings, "precision_by_rule")
    assert precision.columns == ("rule_id", "alerts", "fraud", "legitimate", "precision")
    assert sorted(precision.rows) == [("AMT-1", 2, 1, 1, 0.5), ("GEO-1", 2, 1, 1, 0.5)]
    assert [row[0] for row in ask_by_name(settings, "missed_fraud").rows] == ["missed"]


def test_every_table_can_be_asked(settings: Settings) -> None:
    for spec in delta_tables():
        assert ask(settings, f"SELECT count(*) FROM {spec.full_name}").rows[0][0] >= 0  # noqa: S608


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO silver.labels (label) VALUES ('x')",
        "COPY silver.labels TO '/tmp/labels.csv'",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT nothing FROM nowhere",
    ],
)
def test_nothing_is_changed_or_read_beside_the_lake_and_mistakes_are_told(settings: Settings, query: str) -> None:
    with pytest.raises(UserError, match="medallion lake tables"):
        ask(settings, query)


def test_on_the_terminal(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_DATA_DIR", str(settings.data_dir))
    run = CliRunner().invoke
    assert "missed_fraud" in run(app, ["lake", "tables"]).output
    assert json.loads(run(app, ["lake", "ask", "missed_fraud", "--format", "json"]).output)[0]["customer_id"] == "c1"
    lines = run(app, ["lake", "sql", "SELECT 1 AS one, 'a,b' AS two", "--format", "csv"]).output.splitlines()
    assert lines == ["one,two", '1,"a,b"']
    assert "known: traffic_by_day" in str(run(app, ["lake", "ask", "nonsense"]).output)

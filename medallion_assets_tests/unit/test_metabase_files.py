"""The dashboards' files: they are right, and what is wrong in one is said with file and card."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from fraud_domain.contract import Channel, TransactionType
from medallion_services.cli import app
from medallion_services.errors import UserError
from medallion_services.metabase.loading import load, read
from medallion_services.metabase.model import GRID, Dashboard, statement

DASHBOARDS = {each.key: each for each in load()}
each_dashboard = pytest.mark.parametrize("key", DASHBOARDS)


def card(**changes: Any) -> dict[str, Any]:
    """A card that is right."""
    return {
        "key": "volume",
        "title": "Volume",
        "description": "All of it.",
        "display": "scalar",
        "columns": ["n"],
        "sql": "SELECT 1 AS n",
    } | changes


def document(*cards: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A dashboard with these cards."""
    return {"key": "one", "title": "One", "description": "For a test.", "cards": list(cards or (card(),))} | changes


def write(directory: Path, content: object, name: str = "one.yaml") -> Path:
    """A file of `dashboards/metabase`."""
    file = directory / name
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return file


@each_dashboard
def test_cards_lie_within_the_grid_and_beside_each_other(key: str) -> None:
    dashboard = DASHBOARDS[key]
    taken: set[tuple[int, int]] = set()
    for each in dashboard.cards:
        (row, column), (width, height) = dashboard.places()[each.key], each.extent
        cells = {(row + y, column + x) for x in range(width) for y in range(height)}
        assert column + width <= GRID
        assert not taken & cells, each.key
        taken |= cells


@each_dashboard
def test_choices_of_a_parameter_are_those_of_the_contract(key: str) -> None:
    known = {"channel": tuple(Channel), "type": tuple(TransactionType), "level": ("low", "medium", "high", "critical")}
    for parameter in DASHBOARDS[key].parameters:
        assert parameter.values == known.get(parameter.key, ())


def test_real_time_refreshes_every_minute() -> None:
    assert DASHBOARDS["realtime"].refresh_seconds == 60


def test_optional_clause_goes_when_its_parameter_has_no_value() -> None:
    text = "SELECT 1 AS n FROM mart.v_x WHERE a > {{days}} AND b LIKE 'x%' [[AND c = {{channel}}]]"
    parameters = [{"key": "days", "title": "Days", "kind": "number", "default": 7}, {"key": "channel", "title": "C"}]
    dashboard = Dashboard.model_validate(document(card(sql=text), parameters=parameters))
    (only,) = dashboard.cards
    assert statement(dashboard, only, {}) == ("SELECT 1 AS n FROM mart.v_x WHERE a > %s AND b LIKE 'x%%' ", [7])
    full = "SELECT 1 AS n FROM mart.v_x WHERE a > %s AND b LIKE 'x%%' AND c = %s"
    assert statement(dashboard, only, {"channel": "POS", "days": 1}) == (full, [1, "POS"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (document(card(colour="red")), "card 'volume', colour: Extra inputs are not permitted"),
        (document(card(display="speedometer")), "card 'volume', display"),
        (document(card(display="line")), "card 'volume': Value error, a line has `x` and `y`, and no `columns`"),
        (document(card(x=["n"])), "a scalar has `columns`, and neither"),
        (document(card(columns=["n", "m"])), "a scalar has one column"),
        (document(card(sql="SELECT 1 AS n; DROP TABLE x")), "without a semicolon"),
        (document(card(sql="SELECT n FROM fraud.alerts")), "the SQL reads fraud.alerts"),
        (
            document(card(sql="SELECT n FROM mart.v_a JOIN mart.rule_metrics_daily USING (n)")),
            "mart.rule_metrics_daily",
        ),
        (document(card(sql="SELECT n FROM mart.v_a WHERE d = {{days}}")), "uses {{days}}, which is no parameter"),
        (
            document(card(sql="SELECT n FROM mart.v_a WHERE d = {{day}}"), parameters=[{"key": "day", "title": "D"}]),
            "'day' has no default, so {{day}} must be in [[...]]",
        ),
        (document(parameters=[{"key": "day", "title": "D"}]), "no card uses the parameter day"),
        (
            document(parameters=[{"key": "day", "title": "D", "kind": "number", "default": "x"}]),
            "parameter 'day': Value error, the default of 'day' is no number",
        ),
        (document(card(), card()), "card 'volume' is there twice"),
        (document(refresh_seconds=5), "refresh_seconds: Input should be greater than or equal to 60"),
        (document(cards=[]), "cards"),
        (document(cards="none"), "cards"),
        ([], "the dashboard"),
        ("key: [", "cannot be read as YAML"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_card(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(UserError) as error:
        read(write(tmp_path, content))
    assert str(error.value).startswith("one.yaml ")
    assert said in str(error.value)


def test_a_dashboard_of_two_files_and_a_directory_of_none_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no \*\.yaml"):
        load(tmp_path)
    write(tmp_path, document())
    write(tmp_path, document(), "two.yaml")
    with pytest.raises(UserError, match=r"two\.yaml: dashboard 'one' is in one\.yaml already"):
        load(tmp_path)


def test_command_checks_the_files_without_a_server(tmp_path: Path) -> None:
    right = CliRunner().invoke(app, ["metabase", "check"])
    assert right.exit_code == 0, right.output
    cards = sum(len(each.cards) for each in DASHBOARDS.values())
    assert right.stdout == f"{len(DASHBOARDS)} dashboards with {cards} cards are right\n"
    write(tmp_path, document(card(display="pie")))
    wrong = CliRunner().invoke(app, ["metabase", "check", "--directory", str(tmp_path)])
    assert wrong.exit_code == 1
    assert "card 'volume'" in wrong.stderr
    assert "Traceback" not in wrong.stderr

"""A mapping file says what is wrong with it, and where; a cell that two people read differently is refused."""

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from fraud_domain.settings import PROJECT_ROOT
from medallion_services.errors import UserError
from medallion_services.mapping.loading import load_mapping, parse_mapping
from medallion_services.mapping.macros import MARK
from medallion_services.mapping.model import Amounts
from medallion_services.mapping.opening import open_file
from medallion_services.mapping.query import column_names, mapping_connection

CONSTANTS = "constants: {customer_id: c, currency: EUR, type: PIX, channel: POS, status: APPROVED}"
GOOD = f"fields:\n  amount: money(Betrag)\n  event_time: iso(Datum)\n{CONSTANTS}\n"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (GOOD + "sauce: {format: csv}\n", 5, "unknown key"),
        (GOOD + "source:\n  delimeter: ';'\n", 6, "source.delimeter: unknown key"),
        (GOOD.replace("amount:", "amout:"), 2, "did you mean amount?"),
        (GOOD + "amounts: german\n", 5, "amounts"),
        (GOOD + "timezone: Mars/Base\n", 5, "no time zone"),
        (GOOD + "labels: {fraud: x, delay: a week}\n", 5, "labels.delay"),
        ("fields: {amount: x}\n", 1, "the contract requires event_time, customer_id"),
        (GOOD + GOOD, 5, "occurs twice"),
        (GOOD + "  : :\n", 5, "YAML"),
    ],
)
def test_error_names_file_and_line(text: str, line: int, says: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_mapping("m.yaml", text)
    assert any(part.startswith(f"m.yaml:{line}: ") and says in part for part in str(caught.value).splitlines()), caught


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("money(Betrga)", "no column 'Betrga' in the file (did you mean Betrag?)"),
        ("nope(Betrag)", "nope does not exist"),
        ("money(", "syntax error"),
        ("random() || Betrag", "volatile"),
    ],
)
def test_expression_that_does_not_fit_is_named_by_line(tmp_path: Path, sql: str, says: str) -> None:
    data = tmp_path / "a.csv"
    data.write_text("Betrag,Datum\n1.00,2026-01-01T00:00:00Z\n")
    mapping = parse_mapping("m.yaml", GOOD.replace("money(Betrag)", json.dumps(sql)))
    with pytest.raises(UserError, match=r"m\.yaml:2: fields\.amount: ") as caught, open_file(data, mapping):
        pass
    assert says in str(caught.value)


def test_expression_cannot_read_another_file(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\nhidden\n")
    data = tmp_path / "a.csv"
    data.write_text("Betrag,Datum\n1.00,2026-01-01T00:00:00Z\n")
    sql = f"(SELECT a FROM read_csv('{tmp_path / 'secret.csv'}'))"  # noqa: S608
    mapping = parse_mapping("m.yaml", GOOD.replace("money(Betrag)", json.dumps(sql)))
    with pytest.raises(UserError), open_file(data, mapping):
        pass


def test_missing_mapping_is_a_message() -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_mapping(Path("nowhere.mapping.yaml"))


@pytest.mark.parametrize("path", sorted((PROJECT_ROOT / "samples").glob("*.mapping.yaml")), ids=lambda path: path.name)
def test_shipped_mappings_are_right_by_model_and_by_schema(path: Path) -> None:
    import jsonschema

    schema = json.loads((PROJECT_ROOT / "samples" / "mapping.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(load_mapping(path).source.data, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**load_mapping(path).source.data, "unknown": 1}, schema)


@pytest.fixture(params=list(Amounts), scope="module")
def style(request: pytest.FixtureRequest) -> Iterator[tuple[Amounts, duckdb.DuckDBPyConnection]]:
    with mapping_connection("Europe/Berlin", request.param) as connection:
        yield request.param, connection


def outcome(connection: duckdb.DuckDBPyConnection, macro: str, text: str | None) -> str | None:
    """What a macro makes of a text: the value, or the code of the refusal."""
    row = connection.execute(f"SELECT {macro}(?)", [text]).fetchone()
    assert row
    value: str | None = row[0]
    if value is None or not value.startswith(MARK):
        return value
    _, code, kept = value.split(MARK)
    assert kept == text, "the refusal keeps what was there"
    return code


AMBIGUOUS, BAD = "AMBIGUOUS_AMOUNT", "BAD_AMOUNT"
# text: strict, point, comma, mixed
MONEY = {
    "12": ("12", "12", "12", "12"),
    "$1,234.50": ("1234.50", "1234.50", BAD, "1234.50"),
    "(12.00)": ("-12.00", "-12.00", BAD, "-12.00"),
    "12.00-": ("-12.00", "-12.00", BAD, "-12.00"),
    "-$5.00": ("-5.00", "-5.00", BAD, "-5.00"),
    "$-5.00": ("-5.00", "-5.00", BAD, "-5.00"),
    "\u22125.00": ("-5.00", "-5.00", BAD, "-5.00"),
    "1.234,50": (AMBIGUOUS, BAD, "1234.50", "1234.50"),
    "(1.234,50 \u20ac)": (AMBIGUOUS, BAD, "-1234.50", "-1234.50"),
    "R$ 1.234,50": (AMBIGUOUS, BAD, "1234.50", "1234.50"),
    "1 234,50": (AMBIGUOUS, BAD, "1234.50", "1234.50"),
    "1'234.50": ("1234.50", "1234.50", BAD, "1234.50"),
    "1,234": (AMBIGUOUS, "1234", "1.234", AMBIGUOUS),
    "1.234": (AMBIGUOUS, "1.234", "1234", AMBIGUOUS),
    "1,50": (AMBIGUOUS, BAD, "1.50", "1.50"),
    "0": ("0", "0", "0", "0"),
    "0.00": ("0.00", "0.00", BAD, "0.00"),
    "1,2345.00": (BAD, BAD, BAD, BAD),
    "--5": (BAD, BAD, BAD, BAD),
    "-(5)": (BAD, BAD, BAD, BAD),
    "1-2": (BAD, BAD, BAD, BAD),
    "twelve": (BAD, BAD, BAD, BAD),
    "1e3": (BAD, BAD, BAD, BAD),
    "$": (BAD, BAD, BAD, BAD),
}


@pytest.mark.parametrize("text", MONEY, ids=lambda text: ascii(text))
def test_money(style: tuple[Amounts, duckdb.DuckDBPyConnection], text: str) -> None:
    name, connection = style
    expected = dict(zip(Amounts, MONEY[text], strict=True))[name]
    assert outcome(connection, "money", text) == expected


@pytest.fixture(scope="module")
def berlin() -> Iterator[duckdb.DuckDBPyConnection]:
    with mapping_connection("Europe/Berlin", Amounts.STRICT) as connection:
        yield connection


@pytest.mark.parametrize(
    ("macro", "text", "expected"),
    [
        ("day_first", "31/12/2023 23:59", "2023-12-31T22:59:00.000000Z"),
        ("day_first", "5.6.2024", "2024-06-04T22:00:00.000000Z"),
        ("day_first", "05-06-2024 01:02:03", "2024-06-04T23:02:03.000000Z"),
        ("day_first", "12/25/2023", "IMPOSSIBLE_TIME"),
        ("day_first", "31.02.2024", "IMPOSSIBLE_TIME"),
        ("day_first", "01/01/2024 25:00", "IMPOSSIBLE_TIME"),
        ("day_first", "5.6.24", "AMBIGUOUS_TIME"),
        ("day_first", "27/10/2024 02:30", "AMBIGUOUS_TIME"),
        ("day_first", "31/03/2024 02:30", "IMPOSSIBLE_TIME"),
        ("day_first", "2024-06-05", "BAD_TIME"),
        ("day_first", "yesterday", "BAD_TIME"),
        ("month_first", "12/25/2023 10:00", "2023-12-25T09:00:00.000000Z"),
        ("month_first", "25/12/2023", "IMPOSSIBLE_TIME"),
        ("iso", "2024-06-05", "2024-06-04T22:00:00.000000Z"),
        ("iso", "2024-03-31T02:30:00+02:00", "2024-03-31T00:30:00.000000Z"),
        ("iso", "2024-03-31 02:30:00.5Z", "2024-03-31T02:30:00.500000Z"),
        ("iso", "2024-13-01T00:00:00Z", "IMPOSSIBLE_TIME"),
        ("iso", "05/06/2024", "BAD_TIME"),
        ("epoch_s", "1700000000", "2023-11-14T22:13:20.000000Z"),
        ("epoch_s", "1700000000.25", "2023-11-14T22:13:20.250000Z"),
        ("epoch_s", "soon", "BAD_TIME"),
        ("epoch_ms", "1700000000123", "2023-11-14T22:13:20.123000Z"),
        ("epoch_ms", "1.5", "BAD_TIME"),
        ("iso", None, None),
    ],
)
def test_times(berlin: duckdb.DuckDBPyConnection, macro: str, text: str | None, expected: str | None) -> None:
    assert outcome(berlin, macro, text) == expected


def test_time_without_offset_is_refused_when_the_mapping_names_no_zone() -> None:
    with mapping_connection(None, Amounts.STRICT) as connection:
        assert outcome(connection, "iso", "2024-06-05 10:00") == "NO_TIME_ZONE"
        assert outcome(connection, "day_first", "05/06/2024") == "NO_TIME_ZONE"
        assert outcome(connection, "iso", "2024-06-05T10:00:00Z") == "2024-06-05T10:00:00.000000Z"


def test_columns_of_an_expression_are_found_by_the_database_itself(berlin: duckdb.DuckDBPyConnection) -> None:
    assert column_names(berlin, "CASE WHEN a = 'b' THEN \"C d\" ELSE money(e) END") == ["a", "C d", "e"]

"""Row by row: what is sent, what is refused and why, and that nothing is lost between the two."""

import gzip
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud_domain.acceptance import Acceptance
from fraud_domain.cards import TokenKey
from fraud_domain.rules import load_catalogue
from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_services.errors import UserError
from medallion_services.mapping.checking import check_mapping
from medallion_services.mapping.judging import Accepted
from medallion_services.mapping.loading import load_mapping, parse_mapping
from medallion_services.mapping.model import json_schema
from medallion_services.mapping.opening import open_file
from medallion_services.mapping.refusal import Refusal, RejectedFile
from medallion_services.mapping.silent_rules import silent_rules
from samples.make import BASELINE, EUROPEAN, SCHEMA, SIMULATED, baseline, european, simulated

SAMPLES = PROJECT_ROOT / "samples"
KEY = TokenKey("k1", b"x" * 32)
PAN = "4111 1111 1111 1111"
MAPPING = """
timezone: Europe/Berlin
fields:
  event_time: day_first(booked)
  customer_id: who
  amount: money(amount)
  card_number: card
  mcc: mcc
  merchant_name: shop
constants: {currency: EUR, type: CREDIT_CARD, channel: POS}
defaults: {status: APPROVED}
labels: {fraud: bad}
"""
HEADER = "booked,who,amount,card,mcc,shop,bad\n"
GOOD = f"31/12/2023 10:00,c1,12.50,{PAN},5411,Shop,0\n"


def read(tmp_path: Path, text: str | bytes, mapping: str = MAPPING) -> tuple[list[Accepted], list[Refusal], int]:
    """Accepted and refused rows, and how many were read."""
    path = tmp_path / "data.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused: list[Refusal] = []
    with open_file(path, parse_mapping("m.yaml", mapping)) as file:
        accepted = list(file.accepted(lambda: KEY, refused.append))
        return accepted, refused, file.tally.read


def test_card_number_becomes_a_token_and_is_nowhere_else(tmp_path: Path) -> None:
    ((row,), refused, _) = read(tmp_path, HEADER + GOOD)
    message = orjson.loads(row.value)
    assert message["card_token"].startswith("tok_k1_")
    assert message["card_last4"] == "1111"
    assert b"4111" not in row.value
    assert "card_number" not in message
    assert not refused


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        (("12.50", '"1,234"'), "AMBIGUOUS_AMOUNT", "amount"),
        (("12.50", "12.50.1"), "BAD_AMOUNT", "amount"),
        (("12.50", ""), "MISSING_FIELD", "amount"),
        (("31/12/2023", "31/02/2023"), "IMPOSSIBLE_TIME", "event_time"),
        (("31/12/2023", "31/12/23"), "AMBIGUOUS_TIME", "event_time"),
        (("31/12/2023", "31/12/1970"), "TIME_TOO_OLD", "event_time"),
        (("c1", ""), "MISSING_FIELD", "customer_id"),
        (("c1", "c" * 200), "BAD_TEXT", "customer_id"),
        (("5411", "grocery"), "BAD_TEXT", "mcc"),
        ((PAN, "4111 1111 1111 1112"), "BAD_CARD_NUMBER", "card_number"),
        (("Shop", "4111111111111111"), "CARD_NUMBER", "merchant_name"),
        ((",0\n", ",maybe\n"), "BAD_LABEL", "labels.fraud"),
        ((",0\n", ",0,more\n"), "WRONG_COLUMN_COUNT", ""),
        (("Shop", 'Sh"op" and "x'), None, ""),
        (("Shop", '"Shop" x'), "DAMAGED_ROW", ""),
    ],
)
def test_row_is_refused_with_its_line_and_reason(
    tmp_path: Path, change: tuple[str, str], code: str | None, field: str
) -> None:
    accepted, refused, rows = read(tmp_path, HEADER + GOOD + GOOD.replace(*change) + GOOD)
    if code is None:
        assert len(accepted) == 3
        return
    assert [(each.line, each.code, each.field) for each in refused] == [(3, code, field)]
    assert [row.line for row in accepted] == [2, 4]
    assert rows == len(accepted) + len(refused)


def test_no_refusal_shows_a_card_number(tmp_path: Path) -> None:
    text = HEADER + GOOD.replace("12.50", "4111111111111111x") + GOOD.replace(PAN, "4111 1111 1111 1112")
    text += GOOD.replace("c1", "4111-1111-1111-1111" * 8) + GOOD.replace("Shop", PAN.replace(" ", ""))
    _, refused, _ = read(tmp_path, text)
    path = tmp_path / "rejected.jsonl"
    with RejectedFile(path) as file:
        for each in refused:
            file.add(each)
    assert file.total == 4
    assert b"1111" not in path.read_bytes()


def test_damaged_bytes_are_refused(tmp_path: Path) -> None:
    _, refused, _ = read(tmp_path, HEADER.encode() + GOOD.replace("Shop", "Caf@").encode().replace(b"@", b"\xe9"))
    assert [each.code for each in refused] == ["DAMAGED_TEXT"]
    latin = MAPPING + "source: {encoding: latin-1}\n"
    text = HEADER.encode() + GOOD.replace("Shop", "Caf@").encode().replace(b"@", b"\xe9")
    ((row,), _, _) = read(tmp_path, text, latin)
    assert row.event["merchant_name"] == "Café"


def test_failing_expression_refuses_its_row_only(tmp_path: Path) -> None:
    mapping = MAPPING.replace("mcc: mcc", "mcc: CAST(CAST(mcc AS INTEGER) AS VARCHAR)")
    accepted, refused, _ = read(tmp_path, HEADER + GOOD + GOOD.replace("5411", "none"), mapping)
    assert [row.line for row in accepted] == [2]
    assert [(each.line, each.code, each.field) for each in refused] == [(3, "EXPRESSION_FAILED", "mcc")]


def test_refunds_and_zero_amounts_are_kept(tmp_path: Path) -> None:
    accepted, _, _ = read(tmp_path, HEADER + GOOD.replace("12.50", "(12.50)") + GOOD.replace("12.50", "0"))
    assert [str(row.event["amount"]) for row in accepted] == ["-12.50", "0"]


def test_made_ids_follow_from_the_content_and_the_line(tmp_path: Path) -> None:
    first = [row.event["transaction_id"] for row in read(tmp_path, HEADER + GOOD + GOOD)[0]]
    again = [row.event["transaction_id"] for row in read(tmp_path, HEADER + GOOD + GOOD)[0]]
    other = [row.event["transaction_id"] for row in read(tmp_path, HEADER + GOOD + GOOD + GOOD)[0]]
    assert first == again
    assert len({*first, *other}) == 5


def test_json_lines_and_parquet_give_the_same_messages(tmp_path: Path) -> None:
    mapping = parse_mapping("m.yaml", MAPPING)
    names = HEADER.strip().split(",")
    cells = dict(zip(names, GOOD.strip().split(","), strict=True))
    lines = tmp_path / "data.jsonl.gz"
    lines.write_bytes(gzip.compress(orjson.dumps(cells) + b"\n{broken\n[1]\n"))
    pq.write_table(pa.Table.from_pylist([cells]), tmp_path / "data.parquet")
    found = []
    for path in (lines, tmp_path / "data.parquet"):
        refused: list[Refusal] = []
        with open_file(path, mapping) as file:
            (row,) = file.accepted(lambda: KEY, refused.append)
        found.append({**row.event, "transaction_id": ""})
        assert [each.line for each in refused] == ([2, 3] if path is lines else [])
    assert found[0] == found[1]


def test_number_of_a_json_line_keeps_its_digits(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"amount": 12345678901234.5670, "who": "c", "booked": "01/01/2024", "card": null}\n')
    text = MAPPING.replace("  mcc: mcc\n  merchant_name: shop\n", "").replace("labels: {fraud: bad}", "")
    with open_file(path, parse_mapping("m.yaml", text)) as file:
        (row,) = file.accepted(lambda: KEY, lambda refusal: pytest.fail(str(refusal)))
    assert str(row.event["amount"]) == "12345678901234.5670"


@pytest.mark.parametrize("name", [EUROPEAN, SIMULATED])
def test_rows_of_a_sample_are_sent_or_refused_and_what_is_sent_meets_the_contract(name: str) -> None:
    refused: list[Refusal] = []
    with open_file(SAMPLES / name, load_mapping(SAMPLES / f"{name.split('.')[0]}.mapping.yaml")) as file:
        accepted = list(file.accepted(lambda: KEY, refused.append))
        assert file.tally.read == len(accepted) + len(refused)
    contract = Acceptance(future_tolerance_us=0)
    assert all(contract.accept(row.value, row.event["event_time"]) for row in accepted)
    assert len({row.event["transaction_id"] for row in accepted}) == len(accepted)
    assert 0.01 < sum(row.label.fraud for row in accepted if row.label) / len(accepted) < 0.1
    assert len(accepted) > 2_000
    if name == EUROPEAN:
        amounts = [row.event["amount"] for row in accepted]
        assert min(amounts) < 0 in amounts
        assert {each.code for each in refused} >= {
            "AMBIGUOUS_AMOUNT",
            "IMPOSSIBLE_TIME",
            "AMBIGUOUS_TIME",
            "BAD_AMOUNT",
        }
        assert len({each.code for each in refused}) == len(refused) == 10


def test_samples_are_what_the_generator_writes() -> None:
    """When the generator changes on purpose: `python -m samples`."""
    assert gzip.decompress((SAMPLES / EUROPEAN).read_bytes()) == gzip.decompress(european())
    assert pq.read_table(SAMPLES / SIMULATED).equals(simulated())
    assert orjson.loads((SAMPLES / SCHEMA).read_bytes()) == json_schema()
    rules = (PROJECT_ROOT / "rules" / "stolen_card.yaml").read_text(encoding="utf-8")
    assert (SAMPLES / BASELINE).read_text(encoding="utf-8") == baseline(rules)
    assert (SAMPLES / EUROPEAN).stat().st_size < 1_000_000


def test_check_explains_rows_unused_columns_and_rules_without_voice(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(HEADER.replace("shop", "shop,extra") + GOOD.replace("Shop", "Shop,x") + "short\n" * 3 + "more\n")
    catalogue = load_catalogue(Settings().rules.directory)
    report = check_mapping(path, parse_mapping("m.yaml", MAPPING), 3, catalogue, lambda: KEY)
    assert [row.line for row in report.rows] == [2]
    assert [each.line for each in report.refused] == [3, 4]
    assert report.unused_columns == ("extra",)
    assert "device_id" in report.empty_fields
    assert "card_token" not in report.empty_fields
    silent = {each.rule_id for each in report.silent_rules}
    assert {"DEV-1", "VEL-4", "MER-1"} <= silent
    assert not {"AMT-1", "VEL-1", "VEL-2"} & silent
    assert "4111" not in str(report.as_json())


def test_every_rule_speaks_when_nothing_is_empty_and_none_of_a_card_without_cards() -> None:
    catalogue = load_catalogue(Settings().rules.directory)
    assert silent_rules(catalogue, ()) == []
    silent = {each.rule_id for each in silent_rules(catalogue, {"card_token"})}
    assert {rule.id for rule in catalogue.rules if rule.evaluated and rule.key == "card"} <= silent


def test_file_that_is_not_there_or_has_no_name_for_its_format_is_a_message(tmp_path: Path) -> None:
    mapping = parse_mapping("m.yaml", MAPPING)
    with pytest.raises(UserError, match="is not there"), open_file(tmp_path / "none.csv", mapping):
        pass
    (tmp_path / "a.txt").write_text(HEADER)
    with pytest.raises(UserError, match="format"), open_file(tmp_path / "a.txt", mapping):
        pass
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(UserError, match="no columns"), open_file(tmp_path / "a.csv", mapping):
        pass

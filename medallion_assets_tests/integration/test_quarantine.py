"""From a quarantined message to one that counts: listed, mended, sent again, recorded."""

import json
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from fraud_domain.settings import Settings
from medallion_assets.platform import Platform
from medallion_assets_tests.lake_rows import write
from medallion_assets_tests.pipeline import database, messages
from medallion_services.cli import app
from medallion_services.embedded.environment import stack_environment

AT = datetime(2026, 11, 24, 10, tzinfo=UTC)
GOOD: dict[str, Any] = {
    "transaction_id": "q-1",
    "event_time": AT.isoformat(),
    "customer_id": "c-q",
    "amount": "12.50",
    "currency": "BRL",
    "type": "PIX",
    "channel": "MOBILE_APP",
    "status": "APPROVED",
}


def broken(offset: int, code: str, field: str, value: bytes) -> dict[str, Any]:
    """A row of quarantine."""
    return {
        "topic": "transactions", "partition": 0, "offset": offset, "kafka_timestamp": AT, "value": value,
        "reason_code": code, "errors": [{"code": code, "field": field, "detail": "seen"}], "contract_version": 1,
    }  # fmt: skip


@pytest.fixture(scope="module")
def filled(postgres: Settings, kafka: Settings) -> Settings:
    """A quarantine with one message of each fate."""
    cheque = json.dumps(GOOD | {"type": "CHEQUE"}).encode()
    labelled = json.dumps(GOOD | {"transaction_id": "q-4", "is_fraud": 1}).encode()
    write(
        Platform(kafka),
        "silver.quarantine",
        broken(1, "UNKNOWN_VALUE", "type", cheque),
        broken(2, "NOT_JSON", "", b"not json"),
        broken(3, "CARD_NUMBER", "", json.dumps(GOOD).encode()),
        broken(4, "LABEL_IN_TRANSACTION", "is_fraud", labelled),
    )
    return kafka


@pytest.fixture
def run(filled: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `medallion quarantine ...` on the session's servers."""
    for name, value in stack_environment(filled).items():
        monkeypatch.setenv(name, value)

    def command(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["quarantine", *words])
        assert result.exit_code == code, result.output
        return result.output

    return command


def test_list_counts_reasons_and_shows_positions(run: Any) -> None:
    document = json.loads(run("list", "--json"))
    assert {each["reason"]: each["messages"] for each in document["reasons"]} == {
        "UNKNOWN_VALUE": 1, "NOT_JSON": 1, "CARD_NUMBER": 1, "LABEL_IN_TRANSACTION": 1,
    }  # fmt: skip
    assert "transactions/0/2  NOT_JSON" in run("list", "--reason", "NOT_JSON")


def test_show_tells_reasons_and_payload(run: Any) -> None:
    shown = run("show", "transactions/0/1")
    assert "UNKNOWN_VALUE type: seen" in shown
    assert '"type": "CHEQUE"' in shown
    assert "not in quarantine: transactions/0/99" in run("show", "transactions/0/99", code=1)


def test_only_what_meets_the_contract_is_sent_and_each_attempt_counts(run: Any, filled: Settings) -> None:
    assert "it still breaks the contract: type: Input should be" in run("replay", "transactions/0/1", code=1)
    assert "would be sent as attempt 1" in run("replay", "transactions/0/1", "--set", "type=PIX", "--dry-run")
    assert "1 of 1 messages sent again" in run("replay", "transactions/0/1", "--set", "type=PIX")
    assert "1 of 1 messages sent again" in run("replay", "transactions/0/1", "--set", "type=PIX")
    assert "1 of 1" in run("replay", "--reason", "LABEL_IN_TRANSACTION", "--set", "is_fraud=")
    arrived = [m for m in messages(filled, "transactions") if m.key() == b"c-q"]
    assert [json.loads(m.value())["transaction_id"] for m in arrived] == ["q-1", "q-1", "q-4"]
    assert json.loads(arrived[0].value())["type"] == "PIX"
    assert "is_fraud" not in json.loads(arrived[2].value())
    assert dict(arrived[1].headers()) == {"replay-of": b"transactions/0/1", "attempt": b"2"}
    assert arrived[0].timestamp()[1] == int(AT.timestamp() * 1000)
    with database(filled) as connection:
        rows = connection.execute(
            'SELECT "offset", attempt, changes FROM fraud.quarantine_replays ORDER BY 1, 2'
        ).fetchall()
    assert [(r["offset"], r["attempt"], r["changes"]) for r in rows] == [
        (1, 1, {"type": "PIX"}), (1, 2, {"type": "PIX"}), (4, 1, {"is_fraud": ""}),
    ]  # fmt: skip
    assert "sent again 2 times" in run("list", "--reason", "UNKNOWN_VALUE")


def test_what_only_the_producer_can_mend_is_refused_with_the_reason(run: Any, filled: Settings) -> None:
    refused = run("replay", "transactions/0/2", "transactions/0/3", code=1)
    assert "transactions/0/2: not sent, it is not JSON" in refused
    assert "transactions/0/3: not sent, it held a card number" in refused
    assert "0 of 2 messages sent again" in refused


def test_attempts_cannot_be_rewritten(filled: Settings) -> None:
    with database(filled, "fraud_writer") as connection, pytest.raises(psycopg.Error, match=r"denied|append-only"):
        connection.execute("UPDATE fraud.quarantine_replays SET attempt = 9")

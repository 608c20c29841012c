"""How a stream's rows are judged, and what a user is told."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from fraud_domain.settings import MissingSecretError, Settings
from medallion_services.cli import app
from medallion_services.cli.errors import explain
from medallion_services.cli.first_alert import describe
from medallion_services.embedded.health import judge_stream
from medallion_services.errors import UserError

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def beat(state: str, age: float, desired: str | None = "running") -> dict[str, Any]:
    return {"state": state, "beat_at": NOW - timedelta(seconds=age), "batch_id": 7, "desired": desired}


@pytest.mark.parametrize(
    ("row", "healthy", "state"),
    [
        (beat("running", 2), True, "running"),
        (beat("starting", 2, None), True, "starting"),
        (beat("running", 61), False, "running, but silent"),
        (beat("failed", 2), False, "failed"),
        (beat("stopped", 2), False, "stopped"),
        (beat("stopped", 5000, "stopped"), True, "stopped on request"),
        (None, False, "never started"),
    ],
)
def test_stream_is_judged_by_its_heartbeat(row: dict[str, Any] | None, healthy: bool, state: str) -> None:
    verdict = judge_stream("bronze", row, None, NOW, stale_after=60)
    assert (verdict.healthy, verdict.state) == (healthy, state)


def test_wrong_setting_is_named_by_its_variable() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(kafka={"port": "abc"})
    message = explain(caught.value)
    assert message is not None
    assert "MEDALLION_KAFKA__PORT='abc'" in message


def test_users_mistake_has_a_message_and_a_defect_keeps_its_trace() -> None:
    assert explain(UserError("do this")) == "do this"
    assert explain(MissingSecretError("write that")) == "write that"
    assert explain(KeyError("defect")) is None


def test_wrong_setting_ends_the_command_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_POSTGRES__PORT", "x")
    result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 1
    assert "MEDALLION_POSTGRES__PORT" in result.output
    assert "Traceback" not in result.output


def test_first_alert_tells_reasons_and_latency() -> None:
    alert = {
        "level": "high", "score": 81.0, "typology": "card_testing", "amount": Decimal("12.5000"), "currency": "BRL",
        "customer_id": "c[1]", "card_last4": "4242", "subject_kind": "merchant", "subject": "m7",
        "transaction_id": "t1",
        "reasons": [{"rule_id": "r1", "text": "9 small payments in 60 s"}],
        "kafka_timestamp": NOW, "detected_at": NOW + timedelta(milliseconds=85),
    }  # fmt: skip
    text = "\n".join(describe(alert))
    for part in ("85 ms", "9 small payments in 60 s", "r1", "4242", "high", "card_testing", "12.50 BRL", "merchant m7"):
        assert part in text
    assert "merchant" not in "\n".join(describe(alert | {"subject_kind": "customer", "subject": "c[1]"}))

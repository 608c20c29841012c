"""A decision as the decision log holds it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fraud_domain.rules import Decision, Reason, Subject
from fraud_domain.tables import DECISION_COLUMNS
from spark_jobs.judging import CARRIED, decision_document

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HIT = Reason("AMT-1", "v1", "Large", "Spent 10.50", Decimal("10.5000"), 3, "30d", 40, 40.0, 7)
SECONDS = st.integers(946_684_800, 4_102_444_800)
MOMENTS = SECONDS.map(lambda seconds: seconds * 1_000_000) | st.integers(946_684_800_000_000, 4_102_444_800_000_000)


def decided(reasons: tuple[Reason, ...]) -> Decision:
    return Decision(
        "t-1", "c-1", 40.0, "medium", "takeover", True, reasons, ("AMT-2",), (), "v", {}, Subject.CUSTOMER, "c-1"
    )


@given(MOMENTS, MOMENTS)
def test_times_are_told_as_python_tells_them(event_time: int, kafka_timestamp: int) -> None:
    event: dict[str, Any] = dict.fromkeys(CARRIED) | {"amount": Decimal("10.5")}
    event |= {"event_time": event_time, "kafka_timestamp": kafka_timestamp}
    document = decision_document(decided(()), event)
    assert document["event_time"] == (EPOCH + timedelta(microseconds=event_time)).isoformat()
    assert document["kafka_timestamp"] == (EPOCH + timedelta(microseconds=kafka_timestamp)).isoformat()
    assert document["amount"] == "10.5"
    assert document.keys() == {column.name for column in DECISION_COLUMNS}


def test_reasons_are_a_text_of_json() -> None:
    event: dict[str, Any] = dict.fromkeys(CARRIED) | {"amount": Decimal(1), "event_time": 0, "kafka_timestamp": 0}
    assert decision_document(decided(()), event)["reasons"] == "[]"
    document = decision_document(decided((HIT,)), event)
    assert '"observed":"10.5000"' in document["reasons"]
    assert (document["shadow"], document["abstained"]) == ("[]", ["AMT-2"])

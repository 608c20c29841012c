"""A finding reaches Kafka as a label that meets the contract: once when all is well, never lost when it is not."""

import asyncio
from datetime import datetime

import orjson

from fraud_domain.contract import FraudLabel
from fraud_domain.settings import Settings
from medallion_assets_tests.integration import desk
from medallion_assets_tests.pipeline import database, messages


def labels_of(settings: Settings, transaction_id: str) -> list[FraudLabel]:
    """What `fraud_labels` says about a transaction, and that it is keyed by it."""
    found = []
    for message in messages(settings, "fraud_labels"):
        document = orjson.loads(message.value())
        if document["transaction_id"] == transaction_id:
            assert message.key() == transaction_id.encode()
            found.append(FraudLabel.model_validate(document))
    return found


def outbox(settings: Settings, transaction_id: str) -> list[tuple[datetime, bool, int]]:
    with database(settings) as connection:
        rows = connection.execute(
            "SELECT label_time, sent_at IS NOT NULL AS sent, attempts FROM fraud.label_outbox"
            " WHERE transaction_id = %s ORDER BY label_id",
            (transaction_id,),
        ).fetchall()
    return [(row["label_time"], row["sent"], row["attempts"]) for row in rows]


async def close(settings: Settings, alert_id: str, version: int, disposition: str, wait: float = 15) -> None:
    """Close an alert by the API and let the desk run until its labels are out or the time is over."""
    async with desk.running(desk.with_dashboard(settings)) as app, desk.client(app) as http:
        body = {"version": version, "disposition": disposition}
        answer = await http.post(f"/api/v1/alerts/{alert_id}/close", json=body)
        assert answer.status_code == 200, answer.text
        for _ in range(int(wait * 10)):
            row = await app.state.desk.database.one("SELECT waiting FROM mart.v_labels_on_their_way")
            if row["waiting"] == 0:
                return
            await asyncio.sleep(0.1)


def test_a_finding_becomes_a_label_in_kafka(postgres: Settings, kafka: Settings) -> None:
    alert_id = desk.add_alert(postgres, transaction_id="label-tx-1")
    desk.run(close(postgres, alert_id, 1, "confirmed_fraud"))
    (label,) = labels_of(kafka, "label-tx-1")
    assert (label.label, label.source, label.fraud_type) == ("fraud", "analyst", "pix_scam")
    assert label.merchant_id == "m1", "rules about merchants, terminals and devices can learn from it"
    ((label_time, sent, attempts),) = outbox(postgres, "label-tx-1")
    assert (label.label_time, sent, attempts) == (label_time, True, 1)


def test_a_correction_is_a_second_label_with_a_later_time(postgres: Settings, kafka: Settings) -> None:
    alert_id = desk.add_alert(postgres, transaction_id="label-tx-2")
    desk.run(close(postgres, alert_id, 1, "confirmed_fraud"))

    async def reopen() -> None:
        async with desk.running(desk.with_dashboard(postgres)) as app, desk.client(app) as http:
            body = {"version": 2, "status": "in_review"}
            answer = await http.post(f"/api/v1/alerts/{alert_id}/transition", json=body)
            assert answer.status_code == 200, answer.text

    desk.run(reopen())
    desk.run(close(postgres, alert_id, 3, "verified"))
    first, second = sorted(labels_of(kafka, "label-tx-2"), key=lambda label: label.label_time)
    assert (first.label, second.label) == ("fraud", "legit")
    assert first.label_time < second.label_time


def test_a_finding_made_while_kafka_is_away_is_sent_when_it_is_back(postgres: Settings, kafka: Settings) -> None:
    alert_id = desk.add_alert(postgres, transaction_id="label-tx-3")
    away = postgres.model_copy(update={"kafka": postgres.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})})
    desk.run(close(away, alert_id, 1, "false_positive", wait=2))
    ((label_time, sent, attempts),) = outbox(postgres, "label-tx-3")
    assert not sent
    assert attempts >= 1

    async def later() -> None:
        async with desk.running(desk.with_dashboard(postgres)) as app:
            app.state.desk.relay.wake()
            for _ in range(150):
                if outbox(postgres, "label-tx-3")[0][1]:
                    return
                await asyncio.sleep(0.1)

    desk.run(later())
    (label,) = labels_of(kafka, "label-tx-3")
    assert (label.label, label.label_time) == ("legit", label_time), "the time is that of the finding, not of sending"


def test_two_desks_send_a_label_once(postgres: Settings, kafka: Settings) -> None:
    alert_id = desk.add_alert(postgres, transaction_id="label-tx-4")

    async def both() -> None:
        one, two = desk.with_dashboard(postgres), desk.with_dashboard(postgres)
        async with desk.running(one) as first, desk.running(two) as second, desk.client(first) as http:
            await http.post(f"/api/v1/alerts/{alert_id}/close", json={"version": 1, "disposition": "verified"})
            await asyncio.gather(*(app.state.desk.relay.round() for app in (first, second) for _ in range(3)))

    desk.run(both())
    assert len(labels_of(kafka, "label-tx-4")) == 1


def test_context_comes_from_the_message_at_the_alerts_position(postgres: Settings, kafka: Settings) -> None:
    from confluent_kafka import Producer

    placed: list[tuple[int | None, int | None]] = []
    producer = Producer({"bootstrap.servers": kafka.kafka_bootstrap})
    document = {"device_id": "dev-9", "terminal_id": "term-9", "latitude": -23.5, "longitude": -46.6, "mcc": "5732"}
    producer.produce(
        "transactions",
        orjson.dumps(document | {"note": "4111111111111111"}),
        key="c",
        on_delivery=lambda _, message: placed.append((message.partition(), message.offset())),
    )
    producer.flush(10)
    ((partition, offset),) = placed
    alert_id = desk.add_alert(postgres)
    with database(postgres, "fraud_owner") as connection:
        connection.execute(
            'UPDATE fraud.alerts SET partition = %s, "offset" = %s WHERE alert_id = %s', (partition, offset, alert_id)
        )

    async def scenario() -> tuple[dict[str, object], str]:
        async with desk.running(desk.with_dashboard(postgres)) as app, desk.client(app) as http:
            for _ in range(100):
                found = (await http.get(f"/api/v1/alerts/{alert_id}")).json()
                if found["context"]:
                    break
                app.state.desk.adopter.wake()
                await asyncio.sleep(0.1)
            raw = await http.get(f"/api/v1/alerts/{alert_id}/message")
            return found["context"], raw.text

    context, raw = desk.run(scenario())
    assert (context["device_id"], context["terminal_id"], context["mcc"]) == ("dev-9", "term-9", "5732")
    assert "************1111" in raw
    assert "4111111111111111" not in raw

"""Each channel delivers to a real endpoint on this machine."""

import email.policy
import hashlib
import hmac
import time
from collections.abc import Iterator
from email import message_from_bytes

import orjson
import pytest

from fraud_domain.settings import Settings
from medallion_assets_tests.integration import notifying
from medallion_assets_tests.integration.receivers import http_receiver, smtp_receiver
from medallion_services.embedded import postgres
from medallion_services.embedded.ports import free_ports
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.throwaway import fresh_settings, running


@pytest.fixture(scope="module")
def server() -> Iterator[Settings]:
    (port,) = free_ports(1)
    with fresh_settings() as settings, running(settings, postgres.component(settings)):
        prepare_database(settings)
        yield notifying.with_notifier(settings, smtp_port=port)


@pytest.fixture(autouse=True)
def _clean(server: Settings) -> None:
    notifying.clean(server)


def test_a_mail_has_a_stable_id_and_reads_well_in_portuguese(server: Settings) -> None:
    notifying.write_recipients(server, "email: {fraud-team: team@bank.test}\n")
    notifying.add_route(server, "email", "fraud-team", language="pt", time_zone="America/Sao_Paulo")
    with smtp_receiver(server.notifier.smtp_port) as mailbox, notifying.worker(server):
        alert_id = notifying.alert(server)
        notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 1})
    (raw,) = mailbox.mails
    mail = message_from_bytes(raw.as_bytes(), policy=email.policy.default)
    (row,) = notifying.rows(server)
    assert mail["Message-ID"] == f"<outbox-{row['outbox_id']}@medallion>"
    assert mail["To"] == "team@bank.test"
    assert mail["Subject"] == "[médio] Golpe do PIX: 812,40 BRL, pontuação 64"
    body = mail.get_content()
    assert "PIX of 14,300.00 BRL to a key never used before" in body
    assert f"/alerts/{alert_id}" in body


def test_a_webhook_gets_json_with_key_and_signature_within_a_second(server: Settings) -> None:
    with http_receiver() as receiver, notifying.worker(server):
        notifying.write_recipients(
            server, f"webhook: {{core: {{url: '{receiver.url}/in?token=s3cret', hmac_key: k3y}}}}\n"
        )
        notifying.add_route(server, "webhook", "core")
        time.sleep(0.5)
        notifying.alert(server)
        started = time.monotonic()
        notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 1}, 5)
        took = time.monotonic() - started
    notifying.say(f"commit to delivery {took * 1000:.0f} ms")
    assert took < 1.0
    (request,) = receiver.requests
    (row,) = notifying.rows(server)
    assert request.path == "/in?token=s3cret"
    assert request.headers["idempotency-key"] == f"outbox-{row['outbox_id']}"
    expected = hmac.new(b"k3y", request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-medallion-signature"] == f"sha256={expected}"
    document = orjson.loads(request.body)
    assert (document["kind"], document["amount"], document["currency"]) == ("alert", "812.4000", "BRL")
    assert document["reasons"] == ["PIX of 14,300.00 BRL to a key never used before, 38.0x the mean"]

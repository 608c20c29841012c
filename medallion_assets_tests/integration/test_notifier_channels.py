"""Each channel delivers to a real endpoint on this machine."""

import base64
import email.policy
import hashlib
import hmac
import os
import time
from collections.abc import Iterator
from email import message_from_bytes

import http_ece
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fraud_domain.settings import Settings
from medallion_assets_tests.integration import notifying
from medallion_assets_tests.integration.receivers import Answer, http_receiver, smtp_receiver
from medallion_assets_tests.pipeline import database
from medallion_services.embedded.ports import free_ports
from medallion_services.embedded.throwaway import own_database
from medallion_services.notifier import webpush
from medallion_services.notifier.backoff import RefusedError


@pytest.fixture(scope="module")
def server() -> Iterator[Settings]:
    (port,) = free_ports(1)
    with own_database() as settings:
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


def test_ntfy_gets_title_priority_link_and_a_sequence_id(server: Settings) -> None:
    with http_receiver() as receiver, notifying.worker(server):
        notifying.write_recipients(server, f"ntfy: {{oncall: {{url: '{receiver.url}/base/fraud-7x', token: tk_1}}}}\n")
        notifying.add_route(server, "ntfy", "oncall")
        alert_id = notifying.alert(server, level="critical", score=97.0)
        notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 1})
    (request,) = receiver.requests
    key = f"outbox-{notifying.rows(server)[0]['outbox_id']}"
    document = orjson.loads(request.body)
    assert request.path == "/base/"
    assert request.headers["x-sequence-id"] == key
    assert request.headers["authorization"] == "Bearer tk_1"
    assert (document["topic"], document["priority"], document["sequence_id"]) == ("fraud-7x", 5, key)
    assert document["click"].endswith(f"/alerts/{alert_id}")


def test_apprise_reaches_a_service_by_its_url(server: Settings) -> None:
    with http_receiver() as receiver, notifying.worker(server):
        notifying.write_recipients(server, f"apprise: {{chat: 'json://127.0.0.1:{receiver.port}/hook/s3cret'}}\n")
        notifying.add_route(server, "apprise", "chat")
        notifying.alert(server)
        notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 1})
    (request,) = receiver.requests
    assert request.path.rstrip("/") == "/hook/s3cret"
    document = orjson.loads(request.body)
    assert "PIX of 14,300.00 BRL" in document["message"]
    assert f"outbox-{notifying.rows(server)[0]['outbox_id']}" in document["message"]


def test_a_refusing_service_behind_apprise_is_tried_again(server: Settings) -> None:
    with http_receiver() as receiver, notifying.worker(server):
        receiver.answer = lambda _: Answer(status=500 if len(receiver.requests) == 1 else 200)
        notifying.write_recipients(server, f"apprise: {{chat: 'json://127.0.0.1:{receiver.port}/hook/s3cret'}}\n")
        notifying.add_route(server, "apprise", "chat")
        notifying.alert(server)
        notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 1})
    assert len(receiver.requests) == 2


def test_mail_refused_for_good_is_dead_and_for_now_is_tried_again(server: Settings) -> None:
    notifying.write_recipients(server, "email: {gone: gone@bank.test, full: full@bank.test, well: well@bank.test}\n")
    for name in ("gone", "full", "well"):
        notifying.add_route(server, "email", name)
    with smtp_receiver(server.notifier.smtp_port) as mailbox, notifying.worker(server):
        mailbox.refuse = {"gone@bank.test": "550 no such user gone@bank.test", "full@bank.test": "452 mailbox full"}
        notifying.alert(server)
        notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 1, "dead": 1, "pending": 1})
        notifying.wait_for(lambda: all(row["last_error"] for row in notifying.rows(server) if row["status"] != "sent"))
        found = {row["recipient"]: row for row in notifying.rows(server)}
        assert found["gone"]["last_error"] == "SMTP 550: the recipient was refused"
        assert found["gone"]["attempts"] == 1
        assert "452" in found["full"]["last_error"]
        mailbox.refuse = {}
        notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 2, "dead": 1})
    assert sorted(mail["To"] for mail in mailbox.mails) == ["full@bank.test", "well@bank.test"]


def test_a_dead_mail_server_is_a_reason_to_try_again(server: Settings) -> None:
    notifying.add_route(server, "email", "team@bank.test")
    with notifying.worker(server):
        notifying.alert(server)
        notifying.wait_for(lambda: notifying.rows(server)[0]["last_error"] is not None)
        assert notifying.rows(server)[0]["last_error"] == "SMTP: Connection refused"
        with smtp_receiver(server.notifier.smtp_port) as mailbox:
            notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 1})
            assert len(mailbox.mails) == 1


def subscribe(settings: Settings, recipient: str, endpoint: str, device: EllipticCurvePrivateKey, auth: bytes) -> None:
    """What the dashboard does for a browser."""
    point = device.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    with database(settings, "fraud_desk") as connection:
        webpush.subscribe(connection, recipient, endpoint, encoded(point), encoded(auth))


def encoded(raw: bytes) -> str:
    """base64url without padding, as browsers send it."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """And back."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def check_vapid(authorization: str, audience: str, key: str) -> None:
    """Verify the token of RFC 8292 with the key that browsers were given."""
    fields = dict(part.strip().split("=", 1) for part in authorization.removeprefix("vapid ").split(","))
    assert fields["k"].rstrip("=") == key
    head, claims, signed = fields["t"].split(".")
    public = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), decoded(key))
    raw = decoded(signed)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public.verify(der, f"{head}.{claims}".encode(), ECDSA(SHA256()))
    said = orjson.loads(decoded(claims))
    assert said["aud"] == audience
    assert time.time() < said["exp"] <= time.time() + 24 * 3600
    assert said["sub"].startswith("mailto:")


def test_web_push_is_encrypted_for_the_device_and_signed_for_the_service(server: Settings) -> None:
    webpush.ensure_vapid_key(server)
    device, auth = generate_private_key(SECP256R1()), os.urandom(16)
    with http_receiver() as receiver, notifying.worker(server):
        receiver.answer = lambda request: Answer(status=410 if request.path == "/gone" else 201)
        subscribe(server, "ana", f"{receiver.url}/send/abc", device, auth)
        subscribe(server, "ana", f"{receiver.url}/gone", generate_private_key(SECP256R1()), os.urandom(16))
        notifying.add_route(server, "push", "ana")
        alert_id = notifying.alert(server, level="critical", score=95.0)
        notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 1})
        (request,) = (each for each in receiver.requests if each.path == "/send/abc")
    key = f"outbox-{notifying.rows(server)[0]['outbox_id']}"
    check_vapid(request.headers["authorization"], receiver.url, webpush.public_key(server))
    assert (request.headers["content-encoding"], request.headers["topic"]) == ("aes128gcm", key)
    assert int(request.headers["ttl"]) > 0
    shown = orjson.loads(http_ece.decrypt(request.body, private_key=device, auth_secret=auth, version="aes128gcm"))
    assert (shown["tag"], shown["url"]) == (key, f"/alerts/{alert_id}")
    assert "PIX" in shown["title"]
    assert len(request.body) <= 4096
    with database(server, "fraud_desk") as connection:
        left = connection.execute("SELECT endpoint FROM fraud.push_subscriptions").fetchall()
    assert [row["endpoint"] for row in left] == [f"{receiver.url}/send/abc"]


def test_push_without_a_device_is_dead_and_says_so(server: Settings) -> None:
    notifying.add_route(server, "push", "nobody")
    with notifying.worker(server):
        notifying.alert(server)
        notifying.wait_for(lambda: notifying.statuses(server) == {"dead": 1})
    assert notifying.rows(server)[0]["last_error"] == "no device is subscribed as 'nobody'"


def test_an_endpoint_on_a_plain_connection_is_not_taken(server: Settings) -> None:
    with pytest.raises(RefusedError), database(server, "fraud_desk") as connection:
        webpush.subscribe(connection, "ana", "http://push.example/x", "a", "b")


def test_the_desk_is_told_by_the_dashboard_itself(server: Settings) -> None:
    notifying.add_route(server, "desk", "team:fraud")
    with notifying.worker(server):
        notifying.alert(server)
        notifying.wait_for(lambda: notifying.statuses(server) == {"sent": 1})

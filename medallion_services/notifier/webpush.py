"""Web push to browsers and phones that subscribed: encrypted for the device (RFC 8291), signed by VAPID (RFC 8292)."""

import base64
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
import psycopg

from fraud_domain.settings import Settings
from medallion_services.notifier import http
from medallion_services.notifier.backoff import DeliveryError, RefusedError
from medallion_services.notifier.model import Message

VAPID_SECRET = "vapid_private_key"  # noqa: S105 - the name of a file
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_KEEP_SECONDS = 24 * 3_600
_CLAIM_SECONDS = 12 * 3_600
_BODY_BYTES = 2_500
"""A push service takes 4096 bytes after encryption (RFC 8030 section 7.2)."""


class GoneError(RuntimeError):
    """The device ended its subscription."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A row of `fraud.push_subscriptions`."""

    subscription_id: int
    endpoint: str
    p256dh: str
    auth: str


def _unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def ensure_vapid_key(settings: Settings) -> None:
    """Make the key that push services know this platform by, once; phones must subscribe again when it changes."""
    path = settings.secrets_dir / VAPID_SECRET
    value = _unpadded((secrets.randbelow(_P256_ORDER - 1) + 1).to_bytes(32, "big"))
    temporary = path.with_name(f".{VAPID_SECRET}.{os.getpid()}")
    if path.exists():
        return
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(value + "\n")
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        temporary.unlink()


def public_key(settings: Settings) -> str:
    """The application server key for `pushManager.subscribe`, base64url.

    Raises:
        MissingSecretError: no key has been made.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from py_vapid import Vapid02

    vapid = Vapid02.from_raw(settings.secret(VAPID_SECRET).encode())
    return _unpadded(vapid.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def check_endpoint(endpoint: str) -> None:
    """Refuse an endpoint that is no push service: https, or http on this machine.

    Raises:
        RefusedError: it is another.
    """
    try:
        parts = urlsplit(endpoint)
    except ValueError:
        raise RefusedError("the endpoint of a subscription is not a URL") from None
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    if not parts.hostname or not (parts.scheme == "https" or local):
        raise RefusedError("the endpoint of a subscription is not https")


def subscribe(connection: psycopg.Connection[Any], recipient: str, endpoint: str, p256dh: str, auth: str) -> None:
    """Keep a browser's subscription under a recipient's name; for the dashboard, as fraud_desk.

    Raises:
        RefusedError: the endpoint is not that of a push service.
    """
    check_endpoint(endpoint)
    connection.execute("DELETE FROM fraud.push_subscriptions WHERE endpoint = %s", (endpoint,))
    connection.execute(
        "INSERT INTO fraud.push_subscriptions (recipient, endpoint, p256dh, auth) VALUES (%s, %s, %s, %s)",
        (recipient, endpoint, p256dh, auth),
    )


def unsubscribe(connection: psycopg.Connection[Any], recipient: str, endpoint: str) -> None:
    """Forget a browser's subscription; somebody else's stays."""
    connection.execute(
        "DELETE FROM fraud.push_subscriptions WHERE recipient = %s AND endpoint = %s", (recipient, endpoint)
    )


def payload(message: Message) -> bytes:
    """What the service worker shows. `tag` makes a repeat replace the first on the device."""
    shown: Mapping[str, Any] = {
        "title": message.title,
        "body": message.body.encode()[:_BODY_BYTES].decode(errors="ignore"),
        "tag": message.key,
        "url": urlsplit(message.link).path or "/",
        "urgent": message.urgent,
    }
    return orjson.dumps(shown)


def push(message: Message, to: Subscription, settings: Settings) -> None:
    """Send to one device.

    Raises:
        GoneError: it unsubscribed; forget it.
        DeliveryError, RefusedError: as for `http.post`.
    """
    from py_vapid import Vapid02
    from pywebpush import WebPusher, WebPushException

    check_endpoint(to.endpoint)
    parts = urlsplit(to.endpoint)
    try:
        pusher = WebPusher({"endpoint": to.endpoint, "keys": {"p256dh": to.p256dh, "auth": to.auth}})
        body = pusher.encode(payload(message), content_encoding="aes128gcm")["body"]
    except (WebPushException, ValueError, KeyError, IndexError):
        raise RefusedError("the keys of a subscription are not valid") from None
    claims = {
        "aud": f"{parts.scheme}://{parts.netloc}",
        "exp": int(time.time()) + _CLAIM_SECONDS,
        "sub": settings.notifier.push_contact,
    }
    headers: dict[str, str] = Vapid02.from_raw(settings.secret(VAPID_SECRET).encode()).sign(claims)
    headers |= {
        "Content-Type": "application/octet-stream",
        "Content-Encoding": "aes128gcm",
        "TTL": str(_KEEP_SECONDS),
        "Urgency": "high" if message.urgent else "normal",
        # At most 32 characters of base64url (RFC 8030 section 5.4): a repeat replaces what was not fetched yet.
        "Topic": message.key[:32],
    }
    try:
        http.post(to.endpoint, body, headers, settings.notifier.timeout_seconds)
    except RefusedError as error:
        if str(error) in ("HTTP 404", "HTTP 410"):
            raise GoneError from None
        raise


def push_all(message: Message, devices: Sequence[Subscription], settings: Settings) -> tuple[list[int], int]:
    """Send to every device of a recipient; returns (subscriptions that are gone, devices reached).

    When one device fails, the others still get it; the row is then tried again, and `tag` folds repeats.

    Raises:
        DeliveryError: a device could not be reached now.
        RefusedError: no device is left that could be.
    """
    gone: list[int] = []
    later: DeliveryError | None = None
    refused: RefusedError | None = None
    reached = 0
    for device in devices:
        try:
            push(message, device, settings)
            reached += 1
        except GoneError:
            gone.append(device.subscription_id)
        except DeliveryError as error:
            later = error
        except RefusedError as error:
            refused = error
    if later is not None:
        raise later
    if not reached and refused is not None:
        raise refused
    return gone, reached

"""One function a channel: it delivers, or says why it could not."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import urlsplit

import orjson
from psycopg_pool import ConnectionPool

from fraud_domain.settings import Settings
from medallion_services.notifier import email, http, outbox, webpush
from medallion_services.notifier.backoff import DeliveryError, RefusedError
from medallion_services.notifier.model import DESK, Message
from medallion_services.notifier.recipients import Recipients, read_recipients

SIGNATURE = "X-Medallion-Signature"


class Channel(Protocol):
    """Sends one message to one recipient, known by name."""

    def __call__(self, message: Message, recipient: str) -> None:
        """Raises DeliveryError when trying again may help, RefusedError when not."""


def signature(body: bytes, key: str) -> str:
    """`sha256=` and the HMAC-SHA-256 of the body, in hex."""
    return "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def webhook(message: Message, recipients: Recipients, name: str, timeout: float) -> None:
    """POST as JSON with `Idempotency-Key`; signed when the recipient has a key. Raises as `http.post`."""
    to = recipients.webhook_of(name)
    document = {"key": message.key, "title": message.title, "body": message.body, "link": message.link}
    body = orjson.dumps(document | dict(message.data))
    headers = {"Content-Type": "application/json", "Idempotency-Key": message.key}
    if to.hmac_key is not None:
        headers[SIGNATURE] = signature(body, to.hmac_key.get_secret_value())
    http.post(to.url.get_secret_value(), body, headers, timeout)


def ntfy(message: Message, recipients: Recipients, name: str, timeout: float) -> None:
    """Publish to a topic; the sequence id makes a repeat replace the first on the phone. Raises as `http.post`."""
    to = recipients.ntfy_of(name)
    parts = urlsplit(to.url.get_secret_value())
    path, _, topic = parts.path.rpartition("/")
    if not topic:
        raise RefusedError(f"the URL of ntfy recipient '{name}' ends without a topic")
    document = {
        "topic": topic,
        "title": message.title,
        "message": message.body,
        "priority": 5 if message.urgent else 3,
        "sequence_id": message.key,
    }
    headers = {"Content-Type": "application/json", "X-Sequence-ID": message.key, "Idempotency-Key": message.key}
    if message.link:
        document["click"] = message.link
    if to.token is not None:
        headers["Authorization"] = f"Bearer {to.token.get_secret_value()}"
    http.post(f"{parts.scheme}://{parts.netloc}{path}/", orjson.dumps(document), headers, timeout)


def by_apprise(message: Message, recipients: Recipients, name: str, timeout: float) -> None:
    """Everything that Apprise knows. It tells only whether it worked, so every failure is tried again.

    Raises:
        DeliveryError: the service did not take it.
        RefusedError: Apprise cannot read the URL.
    """
    import apprise

    url = recipients.apprise_url(name)
    target = apprise.Apprise.instantiate(url)
    if target is None:
        raise RefusedError(f"Apprise does not understand the URL of '{name}' in the secret file")
    # The outbox retries and paces; Apprise's own pause would hold a sender for seconds.
    target.request_rate_per_sec = 0
    target.socket_connect_timeout = target.socket_read_timeout = timeout
    kind = apprise.NotifyType.WARNING if message.urgent else apprise.NotifyType.INFO
    link = f"\n{message.link}" if message.link and message.link not in message.body else ""
    if not target.notify(title=message.title, body=message.body + link, notify_type=kind):
        raise DeliveryError(f"the service behind '{name}' did not take the message")


def mail(message: Message, settings: Settings, recipients: Recipients, name: str) -> None:
    """By the SMTP server of the settings. Raises as `email.send`, RefusedError without a server."""
    notifier = settings.notifier
    if not notifier.smtp_host:
        raise RefusedError("no mail server: set MEDALLION_NOTIFIER__SMTP_HOST, then retry the row")
    password = settings.secret("smtp_password") if notifier.smtp_user else None
    email.send(message, recipients.email_address(name), notifier, password, datetime.now(UTC))


def push(message: Message, settings: Settings, pool: ConnectionPool, name: str) -> None:
    """To every device that subscribed under the name. Raises as `webpush.push_all`."""
    with pool.connection() as connection:
        devices = outbox.subscriptions(connection, name)
    gone, reached = webpush.push_all(message, devices, settings)
    if gone:
        with pool.connection() as connection:
            outbox.forget_subscriptions(connection, gone)
    if not reached:
        raise RefusedError(f"no device is subscribed as '{name}'")


def open_channels(settings: Settings, pool: ConnectionPool) -> Mapping[str, Channel]:
    """Every channel by its name. The secret file is read at each message, so a correction counts at once."""
    timeout = settings.notifier.timeout_seconds

    def with_file(send: Callable[[Message, Recipients, str, float], None]) -> Channel:
        return lambda message, recipient: send(message, read_recipients(settings), recipient, timeout)

    return {
        # The worker settles the desk's rows without a message; this is for trying it out.
        DESK: lambda message, recipient: None,
        "email": lambda message, recipient: mail(message, settings, read_recipients(settings), recipient),
        "webhook": with_file(webhook),
        "ntfy": with_file(ntfy),
        "push": lambda message, recipient: push(message, settings, pool, recipient),
        "apprise": with_file(by_apprise),
    }


CHANNELS = (DESK, "email", "webhook", "ntfy", "push", "apprise")

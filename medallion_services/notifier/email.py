"""E-mail by SMTP. The Message-ID comes from the outbox, so that a mail sent twice is one for those who sort by it."""

import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from fraud_domain.settings import NotifierSettings, SmtpSecurity
from medallion_services.notifier.backoff import DeliveryError, RefusedError
from medallion_services.notifier.model import Message


def compose(message: Message, sender: str, address: str, now: datetime) -> EmailMessage:
    """The mail. Its Message-ID is `<KEY@medallion>`.

    Raises:
        RefusedError: the address or a header is malformed.
    """
    mail = EmailMessage()
    try:
        mail["From"], mail["To"], mail["Subject"] = sender, address, message.title
    except (ValueError, IndexError):
        raise RefusedError("the recipient's or the sender's address is not an e-mail address") from None
    mail["Message-ID"] = f"<{message.key}@medallion>"
    mail["Date"] = format_datetime(now.astimezone(UTC))
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.body)
    return mail


def send(message: Message, address: str, settings: NotifierSettings, password: str | None, now: datetime) -> None:
    """Hand the mail to the SMTP server.

    Raises:
        DeliveryError: no answer, or a 4xx reply.
        RefusedError: a 5xx reply, or a login that is refused.
    """
    mail = compose(message, settings.mail_from, address, now)
    context = ssl.create_default_context()
    try:
        if settings.smtp_security is SmtpSecurity.TLS:
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                settings.smtp_host, settings.smtp_port, timeout=settings.timeout_seconds, context=context
            )
        else:
            server = smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=settings.timeout_seconds)
        with server:
            if settings.smtp_security is SmtpSecurity.STARTTLS:
                server.starttls(context=context)
            if settings.smtp_user and password is not None:
                server.login(settings.smtp_user, password)
            server.send_message(mail)
    except smtplib.SMTPRecipientsRefused as error:
        code = next((reply[0] for reply in error.recipients.values()), 500)
        _judge(code, "the recipient")
    except smtplib.SMTPResponseException as error:
        _judge(error.smtp_code, "the message")
    except smtplib.SMTPNotSupportedError:
        raise RefusedError("the SMTP server does not offer what MEDALLION_NOTIFIER__SMTP_SECURITY asks for") from None
    except ssl.SSLError:
        raise DeliveryError("TLS with the SMTP server failed") from None
    except TimeoutError:
        raise DeliveryError(f"the SMTP server did not answer within {settings.timeout_seconds:g} s") from None
    except (OSError, smtplib.SMTPException) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise DeliveryError(f"SMTP: {said}") from None


def _judge(code: int, what: str) -> None:
    # The server's own words may repeat the address, so only the code is kept.
    if 500 <= code < 600:
        raise RefusedError(f"SMTP {code}: {what} was refused") from None
    raise DeliveryError(f"SMTP {code}: {what} was not taken now") from None

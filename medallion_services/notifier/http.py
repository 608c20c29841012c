"""One POST with a deadline for the whole of it. Errors never name the URL, which may contain a token."""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from medallion_services.notifier.backoff import DeliveryError, RefusedError, check_status


def post(url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> int:
    """Send and judge the answer; returns its 2xx status.

    Args:
        timeout: seconds for connecting, sending and the answer together.

    Raises:
        DeliveryError: no connection, no answer in time, or an answer that says "later".
        RefusedError: the URL is none, or the server refuses for good.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise RefusedError("the URL in the secret file is not a URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise RefusedError("the URL in the secret file is not an http or https URL")
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=ssl.create_default_context())
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
    started = time.monotonic()
    timer = threading.Timer(timeout, _cut, (connection,))
    timer.daemon = True
    timer.start()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, dict(headers))
        answer = connection.getresponse()
        status, retry_after = answer.status, answer.getheader("Retry-After")
    except ssl.SSLCertVerificationError as error:
        raise DeliveryError(f"the server's certificate is not trusted: {error.verify_message}") from None
    except (OSError, http.client.HTTPException) as error:
        late = isinstance(error, TimeoutError) or time.monotonic() - started >= timeout
        raise DeliveryError(f"no answer within {timeout:g} s" if late else _in_words(error)) from None
    except ValueError:
        raise RefusedError("the URL or a header is not fit for HTTP") from None
    finally:
        timer.cancel()
        connection.close()
    check_status(status, retry_after)
    return status


def _cut(connection: http.client.HTTPConnection) -> None:
    """Ends a connection whose server drips bytes: each would start the socket's own timeout anew."""
    sock = connection.sock
    if sock is not None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def _in_words(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "the server's name is not known"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__

"""Receivers of notifications on this machine: an SMTP server and an HTTP server, told how to behave."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

from medallion_services.embedded.ports import free_ports


@dataclass(frozen=True, slots=True)
class Request:
    """One POST."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Answer:
    """How to answer: after `delay` seconds, this status."""

    status: int = 200
    delay: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)


class HttpReceiver:
    """Keeps every request whole; `answer` decides by request. `most_at_once` counts those of one key under way."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Answer] = lambda _: Answer()
        self.most_at_once = 0
        self._lock = threading.Lock()
        self._under_way: dict[str, int] = {}

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def keys(self) -> list[str]:
        """Idempotency keys in order of arrival."""
        with self._lock:
            return [request.headers["idempotency-key"] for request in self.requests]

    def handle(self, request: Request) -> Answer:
        """Keep it, and wait as told."""
        key = request.headers.get("idempotency-key", "")
        with self._lock:
            self.requests.append(request)
            self._under_way[key] = self._under_way.get(key, 0) + 1
            self.most_at_once = max(self.most_at_once, self._under_way[key])
        answer = self.answer(request)
        time.sleep(answer.delay)
        with self._lock:
            self._under_way[key] -= 1
        return answer


@contextmanager
def http_receiver(port: int | None = None) -> Iterator[HttpReceiver]:
    """An HTTP server for the length of the block."""
    receiver = HttpReceiver(port or free_ports(1)[0])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = receiver.handle(Request(self.path, headers, body))
            try:
                self.send_response(answer.status)
                for name, value in {"Content-Length": "0", **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
            except OSError:
                return

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", receiver.port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class MailHandler:
    """Keeps mails; answers `refuse[address]` instead of taking one."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.refuse: dict[str, str] = {}

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        """Take the recipient, or not."""
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Keep the mail."""
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"


@contextmanager
def smtp_receiver(port: int) -> Iterator[MailHandler]:
    """An SMTP server for the length of the block."""
    handler = MailHandler()
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield handler
    finally:
        controller.stop()

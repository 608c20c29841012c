"""The loop: senders that take rows, a listener that wakes them within a second, and the watch."""

import contextlib
import logging
import signal
import threading
import time
from collections import Counter
from types import FrameType
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from fraud_domain.settings import Settings
from medallion_services.notifier import outbox, watch, webpush
from medallion_services.notifier.channels import open_channels
from medallion_services.notifier.delivery import Delivery, Pool

_LOG = logging.getLogger(__name__)
_POLL_SECONDS = 1.0
_WATCH_SECONDS = 10.0
_DATABASE_PAUSE = 2.0
_STOP_SECONDS = 15.0


def dashboard_address(settings: Settings) -> str:
    """Where people open the dashboard, without a trailing slash."""
    local = f"http://{settings.dashboard.host}:{settings.dashboard.port}"
    return (settings.notifier.dashboard_url or local).rstrip("/")


def open_pool(settings: Settings, connections: int) -> Pool:
    """Connections as fraud_notifier, checked before use."""
    return ConnectionPool(
        kwargs={**settings.postgres_parameters("fraud_notifier"), "application_name": "medallion-notifier"},
        min_size=1,
        max_size=connections,
        check=ConnectionPool.check_connection,
        timeout=10,
        open=True,
    )


class Worker:
    """Several threads that send; several workers may run on one database."""

    def __init__(self, settings: Settings, pool: Pool, delivery: Delivery | None = None) -> None:
        self._settings = settings
        self._pool = pool
        self._delivery = delivery or Delivery(
            pool, open_channels(settings, pool), settings.notifier, dashboard_address(settings)
        )
        self._stop = threading.Event()
        self._work = threading.BoundedSemaphore(settings.notifier.senders)
        for _ in range(settings.notifier.senders):
            self._work.acquire()
        self._lock = threading.Lock()
        self._under_way: dict[int, str] = {}
        self.outcomes: Counter[str] = Counter()

    def stop(self) -> None:
        """End after what is under way."""
        self._stop.set()
        for _ in range(self._settings.notifier.senders):
            self._wake()

    def _wake(self) -> None:
        """Let one sender look; enough when all are awake already."""
        with contextlib.suppress(ValueError):
            self._work.release()

    def run(self) -> None:
        """Send until `stop`; a database that goes away is waited for."""
        senders = [
            threading.Thread(target=self._send_forever, name=f"sender-{number}", daemon=True)
            for number in range(self._settings.notifier.senders)
        ]
        for sender in senders:
            sender.start()
        self._listen_forever()
        deadline = time.monotonic() + _STOP_SECONDS
        for sender in senders:
            sender.join(max(0.0, deadline - time.monotonic()))

    def _busy(self) -> list[str]:
        """Recipients with so many messages under way that others would have to wait for them."""
        most = self._settings.notifier.senders // 2
        return [name for name, count in Counter(self._under_way.values()).items() if count >= most]

    def _take(self) -> outbox.Row | None:
        # One claim at a time in a process, so that the bound for a recipient holds.
        with self._lock:
            row = self._delivery.claim(self._busy())
            if row is not None:
                self._under_way[row["outbox_id"]] = f"{row['channel']}:{row['recipient']}"
        return row

    def _send_forever(self) -> None:
        while not self._stop.is_set():
            self._work.acquire()
            while not self._stop.is_set():
                try:
                    row = self._take()
                    if row is None:
                        break
                    # There may be more than one sender's worth.
                    self._wake()
                    try:
                        outcome = self._delivery.handle(row)
                    finally:
                        with self._lock:
                            self._under_way.pop(row["outbox_id"], None)
                    with self._lock:
                        self.outcomes[outcome] += 1
                except (psycopg.Error, PoolTimeout) as error:
                    _LOG.warning("the database does not answer: %s", str(error).partition("\n")[0])
                    self._stop.wait(_DATABASE_PAUSE)
                    break

    def _listen_forever(self) -> None:
        while not self._stop.is_set():
            try:
                parameters: dict[str, Any] = self._settings.postgres_parameters("fraud_notifier")
                with psycopg.connect(**parameters, connect_timeout=5, autocommit=True) as connection:
                    connection.execute("LISTEN fraud_alerts")
                    self._listen(connection)
            except psycopg.Error as error:
                _LOG.warning("listening was interrupted: %s", str(error).partition("\n")[0])
                self._stop.wait(_DATABASE_PAUSE)

    def _listen(self, connection: psycopg.Connection[Any]) -> None:
        watched = renewed = time.monotonic()
        while not self._stop.is_set():
            while outbox.settle_desk(connection) and not self._stop.is_set():
                pass
            self._wake()
            now = time.monotonic()
            if now - watched >= _WATCH_SECONDS:
                watched = now
                if outbox.escalate_overdue(connection):
                    self._wake()
                watch.look(connection, self._settings)
            if now - renewed >= self._settings.notifier.lease_seconds / 3:
                renewed = now
                with self._lock:
                    ids = list(self._under_way)
                if ids:
                    self._delivery.renew(ids)
            for _ in connection.notifies(timeout=_POLL_SECONDS, stop_after=1):
                pass


def run(settings: Settings) -> None:
    """Send until SIGTERM or Ctrl-C.

    Raises:
        MissingSecretError: the role has no password file.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # Apprise's own log may name a service and its host.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    webpush.ensure_vapid_key(settings)
    with open_pool(settings, settings.notifier.senders + 2) as pool:
        worker = Worker(settings, pool)

        def stop(_: int, __: FrameType | None) -> None:
            worker.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        _LOG.info("notifier is running with %s senders", settings.notifier.senders)
        worker.run()
        _LOG.info("notifier ends: %s", dict(worker.outcomes))

"""What happens, told to every open page: one LISTEN connection a process, fanned out to server-sent events.

Ids are `boot-number`. A client that comes back with the last id it saw gets what it missed; when that is no longer
kept, or the process was restarted, it is told to load anew (`reset`).
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import orjson
import psycopg

from medallion_services.dashboard.database import Database

_LOG = logging.getLogger(__name__)
KEPT = 1_000
_QUEUE = 200
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Event:
    """One message: `name` is alerts, desk or reset, `data` JSON."""

    id: str
    name: str
    data: str


class Hub:
    """Numbers events, keeps the last ones, hands them to every subscriber."""

    def __init__(self, boot: str | None = None) -> None:
        self._boot = boot or secrets.token_hex(4)
        self._number = 0
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._subscribers: set[asyncio.Queue[Event]] = set()

    def publish(self, name: str, data: str) -> None:
        """Hand an event to everybody. A subscriber that does not read is told to load anew later."""
        self._number += 1
        event = Event(f"{self._boot}-{self._number}", name, data)
        self._kept.append(event)
        for queue in self._subscribers:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                event = Event(event.id, "reset", "{}")
            queue.put_nowait(event)

    def missed(self, last_id: str) -> list[Event]:
        """What came after `last_id`: nothing for a new client, `reset` when it is not known any more."""
        if not last_id:
            return []
        boot, _, number = last_id.rpartition("-")
        oldest = self._number - len(self._kept)
        known = boot == self._boot and number.isdecimal() and oldest <= int(number) <= self._number
        if not known:
            return [Event(f"{self._boot}-{self._number}", "reset", "{}")]
        return [event for event in self._kept if int(event.id.rpartition("-")[2]) > int(number)]

    async def subscribe(self, last_id: str = "") -> AsyncIterator[Event]:
        """Events for one client, first those it missed, until it goes."""
        queue: asyncio.Queue[Event] = asyncio.Queue(_QUEUE)
        for event in [Event(f"{self._boot}-{self._number}", "hello", "{}"), *self.missed(last_id)][-_QUEUE:]:
            queue.put_nowait(event)
        self._subscribers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._subscribers.discard(queue)


async def listen(database: Database, hub: Hub, on_alerts: Callable[[], None]) -> None:
    """Turn the database's notifications into events for ever; a lost connection is opened again."""
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(**database.parameters, autocommit=True)
            async with connection:
                await connection.execute("LISTEN fraud_alerts")
                await connection.execute("LISTEN fraud_desk")
                # What was told while nobody listened is not known: everybody looks again.
                hub.publish("reset", "{}")
                on_alerts()
                async for notice in connection.notifies():
                    _tell(hub, notice, on_alerts)
        except psycopg.Error as error:
            _LOG.warning("listening was interrupted: %s", str(error).splitlines()[0] if str(error) else error)
        await asyncio.sleep(_RETRY_SECONDS)


def _tell(hub: Hub, notice: psycopg.Notify, on_alerts: Callable[[], None]) -> None:
    if notice.channel == "fraud_alerts":
        count = int(notice.payload) if notice.payload.isdecimal() else 0
        if count:
            hub.publish("alerts", orjson.dumps({"count": count}).decode())
            on_alerts()
        return
    hub.publish("desk", notice.payload)

"""Takes new alerts up after their commit: cases and snoozes first, then what their messages say beside.

Both are repeated until nothing is left, by whichever desk is first; a crash in between loses nothing.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any, LiteralString

import psycopg
from psycopg.types.json import Jsonb
from psycopg_pool import PoolTimeout

from fraud_domain.settings import Settings
from medallion_services.dashboard import message
from medallion_services.dashboard.database import Database, Row
from medallion_services.dashboard.live import Hub

_LOG = logging.getLogger(__name__)
_AT_ONCE = 1_000
_CONTEXTS = 100
_IDLE_SECONDS = 5.0
_PAUSE_SECONDS = 0.25
_WITHOUT: LiteralString = """
SELECT a.alert_id, a.topic, a.partition, a."offset"
FROM (SELECT alert_id, topic, partition, "offset" FROM fraud.alerts
      ORDER BY detected_at DESC, alert_id DESC LIMIT 2000) AS a
WHERE NOT EXISTS (SELECT FROM fraud.alert_context c WHERE c.alert_id = a.alert_id) LIMIT %s
"""
_TEXTS = ("device_id", "terminal_id", "ip_address", "merchant_name", "merchant_country", "mcc")
_PLACES = ("latitude", "longitude")


def context(alert_id: str, found: message.Message | None) -> dict[str, Any]:
    """The row of `fraud.alert_context` for an alert; without its message only that it was looked for."""
    if found is None:
        return {"alert_id": alert_id, "found": False}
    document = found.document
    row: dict[str, Any] = {"alert_id": alert_id, "found": True}
    row |= {name: _text(document.get(name)) for name in _TEXTS}
    row |= {name: _degrees(document.get(name)) for name in _PLACES}
    row |= {f"home_{name}": _degrees(document.get(f"billing_{name}")) for name in _PLACES}
    row["state"] = _text(document.get("billing_state"))
    row["place"] = _text(document.get("shipping_state")) or place(document)
    return row


def place(document: Mapping[str, Any]) -> str | None:
    """Where it was spent: abroad the country, at home in words whether near or far from the billing address."""
    country, home = document.get("merchant_country"), document.get("home_country") or document.get("billing_country")
    if country and home and country != home:
        return str(country)
    here = [_degrees(document.get(name)) for name in (*_PLACES, "billing_latitude", "billing_longitude")]
    if any(each is None for each in here):
        return "remote"
    latitude, longitude, home_latitude, home_longitude = (each or 0.0 for each in here)
    # About 200 km: beyond it a purchase is not an errand.
    return "far" if abs(latitude - home_latitude) + abs(longitude - home_longitude) > 2 else "near home"


def _text(value: object) -> str | None:
    return str(value)[:256] if value not in (None, "") else None


def _degrees(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except ValueError:
        return None


class Adopter:
    """The background task; `wake` it when alerts have come."""

    def __init__(self, settings: Settings, database: Database, hub: Hub) -> None:
        self._settings, self._database, self._hub = settings, database, hub
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """There is something to do."""
        self._awake.set()

    async def run(self) -> None:
        """Adopt for ever."""
        while True:
            # Not wait_for: in Python 3.11 it loses a cancellation that comes with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._awake.wait()
            self._awake.clear()
            try:
                await self.round()
            except (psycopg.Error, PoolTimeout) as error:
                _LOG.warning("alerts are not taken up now: %s", error)
            except message.NoAnswerError as error:
                _LOG.info("the messages of new alerts cannot be read now: %s", error)
            # A storm of alerts is worked off in few large steps.
            await asyncio.sleep(_PAUSE_SECONDS)

    async def round(self) -> None:
        """One step: a chunk of alerts into cases, a chunk of messages into contexts."""
        row = await self._database.one("SELECT fraud.adopt_alerts(%s) AS adopted", (_AT_ONCE,))
        adopted = int(row["adopted"]) if row else 0
        waiting = await self._database.rows(_WITHOUT, (_CONTEXTS,))
        recorded = await self._read(waiting) if waiting else 0
        if adopted == _AT_ONCE or len(waiting) == _CONTEXTS:
            self.wake()
        if adopted or recorded:
            self._hub.publish("adopted", "{}")

    async def _read(self, waiting: list[Row]) -> int:
        positions = {row["alert_id"]: (row["topic"], row["partition"], row["offset"]) for row in waiting}
        found = await asyncio.to_thread(message.read, self._settings, sorted(set(positions.values())))
        rows = [context(alert_id, found.get(position)) for alert_id, position in positions.items()]
        row = await self._database.one("SELECT fraud.record_context(%s) AS recorded", (Jsonb(rows),))
        return int(row["recorded"]) if row else 0

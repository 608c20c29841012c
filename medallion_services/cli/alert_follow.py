"""New alerts as they are committed, for `medallion alerts tail --follow`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg

from medallion_services.dashboard import queue
from medallion_services.dashboard.database import Database

_REMEMBERED = 500


async def follow_alerts(
    database: Database, shown: Sequence[Mapping[str, Any]], say: Callable[[Sequence[Mapping[str, Any]]], None]
) -> None:
    """Hand every alert that is not in `shown` to `say`, oldest first, for ever."""
    known = [row["alert_id"] for row in shown]
    wanted = queue.Wanted(queue.View.OPEN, queue.Sort.NEWEST, limit=queue.MAX_PAGE)
    connection = await psycopg.AsyncConnection.connect(**database.parameters, autocommit=True)
    async with connection:
        await connection.execute("LISTEN fraud_alerts")
        while True:
            newest = {row["alert_id"]: row for row in (await queue.page(database, wanted, "")).rows}
            horizon = shown[0]["detected_at"] if shown else None
            fresh = [
                row
                for key, row in reversed(newest.items())
                if key not in known and (horizon is None or row["detected_at"] >= horizon)
            ]
            if fresh:
                say(fresh)
                known = [*known, *(row["alert_id"] for row in fresh)][-_REMEMBERED:]
                shown = [*shown, *fresh][-_REMEMBERED:]
            async for _ in connection.notifies(stop_after=1):
                pass

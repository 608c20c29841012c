"""What a new store begins with: histories told by files, as `spark_jobs/seeding.py` gives them to a new checkpoint."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import duckdb
from deltalake import DeltaTable

from fraud_domain.object_store import delta_place
from fraud_domain.settings import Settings
from fraud_domain.tables import table
from fraud_domain.topics import HISTORY_PREFIX
from spark_jobs.direct.judge import Judge
from spark_jobs.direct.memory import Memory
from spark_jobs.direct.store import Store
from spark_jobs.judging import LOOK_BACK_DAYS

SILVER = table("silver.transactions")
_ROWS = 5_000
_LOADED = f"FROM rows WHERE starts_with(topic, '{HISTORY_PREFIX}')"


def seed(settings: Settings, judge: Judge, memory: Memory, store: Store) -> int:
    """Fill histories with the transactions that were loaded from files, in their order; returns how many there were."""
    count = 0
    for events in _loaded(settings, judge.inputs):
        for event in events:
            judge.remember(event)
        count += len(events)
        store.keep(memory.all())
    return count


def _loaded(settings: Settings, inputs: frozenset[str]) -> Iterator[list[dict[str, Any]]]:
    """Transactions as the engine takes them, some thousand at a time; the last 120 days of them."""
    place = delta_place(settings, SILVER)
    if not DeltaTable.is_deltatable(place.uri, place.options):
        return
    delta = DeltaTable(place.uri, storage_options=place.options)
    columns = ", ".join(f'"{name}"' for name in sorted(inputs - {"event_time"}))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("rows", delta.to_pyarrow_dataset())
        ((newest,),) = connection.execute(f"SELECT max(event_date) {_LOADED}").fetchall()
        if newest is None:
            return
        rows = connection.sql(
            f"SELECT epoch_us(event_time) AS event_time, {columns} {_LOADED} AND event_date > ?"
            ' ORDER BY topic, partition, "offset"',
            params=[newest - timedelta(days=LOOK_BACK_DAYS)],
        )
        for batch in rows.to_arrow_reader(_ROWS):
            yield batch.to_pylist()

"""Stream `alerts` without Spark: the direct lane (`MEDALLION_STREAMS__ALERT_LANE=direct`).

    python spark_jobs/direct_to_postgres.py

Sooner by a second or so than `streaming_to_postgres.py` and cheaper by far, on one core of one machine: its state is a
file in the checkpoint directory, and one process judges all.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from fraud_domain.kafka_client import client_configuration
from fraud_domain.object_store import is_local
from fraud_domain.settings import Settings, TriggerMode
from fraud_domain.streams import checkpoint_path, stream
from fraud_domain.topics import ACCOUNT_EVENTS, FRAUD_LABELS, TRANSACTIONS
from spark_jobs.alert_sink import AlertSink, open_sink
from spark_jobs.decision_log import DecisionLog
from spark_jobs.direct.judge import Judge, judge_again
from spark_jobs.direct.lane import QUERY, Covered, DirectLane, Rules
from spark_jobs.direct.memory import Memory, events_in
from spark_jobs.direct.seeding import seed
from spark_jobs.direct.source import Source
from spark_jobs.direct.store import Store, StoreError
from spark_jobs.judging import Limits
from spark_jobs.rebase import LostCheckpointError, begun, rebase_of
from spark_jobs.runtime import Launch, main, say

ALERTS = stream("alerts")
_MOST = 2_000
"""Messages of a batch: half a second of work at most, so that a backlog does not hold up what is new in it."""
_DECIDED = "SELECT 1 FROM fraud.rule_boundaries WHERE query = %s AND generation <> %s LIMIT 1"


def start(settings: Settings, epoch: int) -> DirectLane:
    """Start the lane.

    Raises:
        StoreError: its state cannot serve.
        LostCheckpointError: its state is gone, and nobody asked for a rebase.
        DataLossError, TopicMissingError: Kafka does not have what it needs.
    """
    if not is_local(settings.checkpoint_root):
        raise StoreError(
            f"the direct lane keeps its state in a file and {settings.checkpoint_root} is an object store: set"
            " MEDALLION_CHECKPOINT_URI to a directory, or MEDALLION_STREAMS__ALERT_LANE=spark"
        )
    with ExitStack() as held:
        store = Store(Path(checkpoint_path(settings, *QUERY.split("."))), epoch)
        held.callback(store.close)
        sink = open_sink(settings.postgres_parameters("fraud_writer"), ALERTS.name, epoch)
        held.callback(sink.pool.close)
        lane = _lane(settings, store, sink)
        held.callback(lane.source.close)
        lane.held = held.pop_all()
    return lane.start()


def _lane(settings: Settings, store: Store, sink: AlertSink) -> DirectLane:
    covered = _covered(settings, sink, store)
    memory = Memory(store, events_in(settings.streams.direct_memory_mb))
    rules = Rules(sink.pool, store, memory)
    judge = Judge(memory, rules.open(), Limits.of(settings))
    if not store.begun:
        store.forget()
        if loaded := seed(settings, judge, memory, store):
            say(f"{QUERY}: begins with the histories of {loaded} transactions loaded from files")
        store.begin()
    if again := judge_again(judge, memory, store):
        say(f"{QUERY}: the last {again} messages were judged again for histories that lacked them, and told to nobody")
    broker, to_the_end = client_configuration(settings), settings.streams.alerts.mode is TriggerMode.AVAILABLE_NOW
    most = settings.streams.alert_max_offsets_per_trigger if to_the_end else _MOST
    source = Source(broker, (ACCOUNT_EVENTS, FRAUD_LABELS), (TRANSACTIONS,), store.positions(), to_the_end)
    return DirectLane(source, judge, memory, store, sink, DecisionLog(broker), rules, covered, most)


def _covered(settings: Settings, sink: AlertSink, store: Store) -> Covered:
    """What was decided before by another generation. About others as far as about customers, if nobody said."""
    customers = rebase_of(settings, ALERTS, "decide", store.generation)
    if customers is None and not store.begun and _has_decided(sink, store):
        raise LostCheckpointError(
            f"the alert lane has decided before, but its state {store.path} is new: starting would log every decision"
            f" again. Restore it, or run `medallion checkpoint rebase {QUERY}`; see docs/runbook/lost-checkpoint.md"
        )
    others = rebase_of(settings, ALERTS, "decide_others", store.generation)
    for rebase in (customers, others):
        begun(settings, rebase, store.generation)
    return Covered(customers, others or customers)


def _has_decided(sink: AlertSink, store: Store) -> bool:
    with sink.pool.connection() as connection:
        row: psycopg.Cursor[tuple[int]] = connection.execute(_DECIDED, (QUERY, store.generation))
        return row.fetchone() is not None


@contextmanager
def _process(_application: str) -> Iterator[Launch]:
    # Histories are trees, by the million: looking for cycles in them took a sixth of the time.
    gc.freeze()
    gc.set_threshold(50_000, 1_000_000)
    yield lambda _stream, settings, epoch: [start(settings, epoch)]


if __name__ == "__main__":
    sys.exit(main((ALERTS.name,), _process))

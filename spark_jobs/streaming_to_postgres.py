"""Stream `alerts`: Kafka to decisions to alerts in PostgreSQL, and the decision log back to Kafka.

    spark-submit spark_jobs/streaming_to_postgres.py

It does not wait for the lake: contract, state, rules and score run on the topics themselves. Customers have a query
of their own, so that rules about merchants, devices, terminals and addresses never delay their alerts.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from fraud_domain.kafka_client import client_configuration
from fraud_domain.micro_batch import Batch
from fraud_domain.settings import Settings, Trigger
from fraud_domain.streams import DIRECT_STATE, checkpoint_path, stream
from fraud_domain.topics import ACCOUNT_EVENTS, FRAUD_LABELS, TRANSACTIONS
from spark_jobs.alert_sink import AlertSink, open_sink
from spark_jobs.decision_log import DecisionLog
from spark_jobs.decisions import decide_customers, decide_others
from spark_jobs.judging import Limits
from spark_jobs.lake import current_generation
from spark_jobs.moved_checkpoint import follow_move
from spark_jobs.published_rules import RuleSet
from spark_jobs.rebase import LostCheckpointError, Rebase, begun, rebase_of
from spark_jobs.rule_sets import RuleBook
from spark_jobs.runtime import say
from spark_jobs.seeding import loaded_transactions, seed_of
from spark_jobs.sources import generation_of, kafka_stream, triggered
from spark_jobs.spark_runtime import main
from spark_jobs.telling import Judged, tell

ALERTS = stream("alerts")
Decide = Callable[[DataFrame, RuleSet, Limits, DataFrame | None], DataFrame]


@dataclass(frozen=True, slots=True)
class Lane:
    """One query of the alert lane: what it reads and whom it judges."""

    query: str
    topics: tuple[str, ...]
    decide: Decide

    @property
    def ledger(self) -> str:
        """Its name in the ledger."""
        return f"{ALERTS.name}.{self.query}"


LANES = (
    Lane("decide", (TRANSACTIONS, ACCOUNT_EVENTS), decide_customers),
    Lane("decide_others", (TRANSACTIONS, FRAUD_LABELS), decide_others),
)


def write_decisions(
    lane: Lane, sink: AlertSink, log: DecisionLog, book: RuleBook, rebase: Rebase | None = None
) -> Callable[[DataFrame, int], None]:
    """The foreachBatch: tell what was decided.

    After a rebase, what was decided before only fills the histories.
    """

    def write(frame: DataFrame, batch_id: int) -> None:
        batch = Batch(lane.ledger, current_generation(frame), batch_id)
        judged = [Judged(*row) for row in frame.collect()]
        tell(sink, log, batch, [each for each in judged if rebase is None or not rebase.covers(*_position(each))])
        book.between_batches(frame.sparkSession, batch)

    return write


def _position(judged: Judged) -> tuple[str, int, int]:
    decision = orjson.loads(judged.decision)
    return decision["topic"], decision["partition"], decision["offset"]


def trigger_of(settings: Settings, lane: Lane) -> Trigger:
    """Customers first; the others may wait."""
    return settings.streams.alerts if lane.query == "decide" else settings.streams.alerts_about_others


def start(spark: SparkSession, settings: Settings, epoch: int) -> list[StreamingQuery]:
    """Start the queries of the alert lane."""
    sink = open_sink(settings.postgres_parameters("fraud_writer"), ALERTS.name, epoch)
    log = DecisionLog(client_configuration(settings))
    limits = Limits.of(settings)
    queries = []
    for lane in LANES:
        checkpoint = checkpoint_path(settings, ALERTS.name, lane.query)
        book = RuleBook(sink.pool, lane.ledger, settings.run_dir / "rules")
        if follow_move(checkpoint):
            say(f"{lane.ledger}: its checkpoint was moved here, and goes on here")
        generation = generation_of(spark, checkpoint)
        rebase = rebase_of(settings, ALERTS, lane.query, generation)
        if generation is None and rebase is None and (Path(checkpoint) / DIRECT_STATE).exists():
            raise LostCheckpointError(
                f"{checkpoint} is of the direct lane, which Spark cannot read: run `medallion checkpoint rebase"
                f" {lane.ledger}` to begin anew without doubles; see docs/runbook/lost-checkpoint.md"
            )
        rules = book.open(spark, generation)
        seed = None
        if generation is None:
            loaded, partitions = loaded_transactions(spark, settings), settings.spark.shuffle_partitions
            seed = seed_of(loaded, rules, limits, lane.query == "decide", partitions)
        offsets = settings.streams.alert_max_offsets_per_trigger
        messages = kafka_stream(spark, settings, ",".join(lane.topics), offsets)
        writer = (
            lane.decide(messages, rules, limits, seed)
            .writeStream.queryName(lane.ledger)
            .outputMode("append")
            .option("checkpointLocation", checkpoint)
            .foreachBatch(write_decisions(lane, sink, log, book, rebase))
        )
        queries.append(triggered(writer, trigger_of(settings, lane)).start())
        begun(settings, rebase, queries[-1].id)
    return queries


if __name__ == "__main__":
    sys.exit(main({ALERTS.name: start}))

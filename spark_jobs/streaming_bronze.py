"""Stream `bronze`: Kafka topics to bronze tables, every message as it came, append-only.

spark-submit spark_jobs/streaming_bronze.py
"""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from fraud_domain.cards import masked_message
from fraud_domain.micro_batch import Batch
from fraud_domain.settings import Settings
from fraud_domain.streams import checkpoint_path, stream
from fraud_domain.tables import TableSpec, table
from spark_jobs.batch_rows import taken
from spark_jobs.lake import append_once, current_generation, ensure_table, read_table
from spark_jobs.masking import has_card_number, mask_card_numbers
from spark_jobs.sources import has_checkpoint, kafka_stream, lake_trigger, offsets_after, triggered
from spark_jobs.spark_runtime import main

BRONZE = stream("bronze")


def messages_of(kafka: DataFrame) -> DataFrame:
    """What bronze keeps of Kafka's rows.

    Nothing here differs from batch to batch: a time in the query would be compiled anew each time, by Spark and then by
    the JVM, which took more than all the rest of a small batch.
    """
    return kafka.select("topic", "partition", "offset", F.col("timestamp").alias("kafka_timestamp"), "key", "value")


def raw_rows(messages: DataFrame) -> DataFrame:
    """Messages as bronze rows: card numbers masked, read time stamped."""
    return messages.withColumns(
        {
            "value": mask_card_numbers(F.col("value")),
            "card_masked": has_card_number(F.col("value")),
            "ingested_at": F.current_timestamp(),
            "ingest_date": F.to_date(F.current_timestamp()),
        }
    )


def raw_table(messages: pa.Table) -> pa.Table:
    """The same without Spark."""
    now, count = datetime.now(UTC), messages.num_rows
    values = messages["value"].to_pylist()
    kept = [None if value is None else masked_message(value) for value in values]
    columns = {name: messages[name] for name in messages.column_names} | {
        "value": pa.array(kept, pa.binary()),
        "card_masked": [mine is not theirs for mine, theirs in zip(kept, values, strict=True)],
        "ingested_at": [now] * count,
        "ingest_date": [now.date()] * count,
    }
    return pa.table(columns)


def starting_offsets(spark: SparkSession, settings: Settings, spec: TableSpec) -> str:
    """Where a query without a checkpoint begins: after what bronze holds, else at the earliest offset.

    So a lost bronze checkpoint costs nothing: the table itself says where to go on, or an accepted gap behind it.
    Partitions that bronze has not seen start at -2, Kafka's word for earliest.
    """
    # What was loaded from files lies in the same table, under names that are no topics.
    frame = read_table(spark, settings.lake_root, spec).where(F.col("topic") == spec.topic)
    rows: list[Any] = frame.groupBy("topic", "partition").agg(F.max("offset")).collect()
    if not rows:
        return "earliest"
    offsets = json.loads(offsets_after(rows))
    partitions = offsets[spec.topic]
    for partition, last in accepted_gaps(settings, spec.topic):
        if partition in partitions:
            partitions[partition] = max(partitions[partition], last + 1)
    for number in range(settings.kafka.partitions):
        partitions.setdefault(str(number), -2)
    return json.dumps(offsets)


def accepted_gaps(settings: Settings, topic: str) -> list[tuple[str, int]]:
    """Partition, as JSON has it, and last offset of what Kafka lost before it was read, and somebody accepted."""
    with psycopg.connect(**settings.postgres_parameters("fraud_writer")) as connection:
        return connection.execute(
            "SELECT partition::text, last_offset FROM fraud.ingest_gaps WHERE topic = %s", (topic,)
        ).fetchall()


def write_raw(lake_root: str, spec: TableSpec, most: int) -> Callable[[DataFrame, int], None]:
    """The foreachBatch of a topic: at most `most` messages, as they came."""

    def write(frame: DataFrame, batch_id: int) -> None:
        batch = Batch(spec.full_name, current_generation(frame), batch_id)
        messages = taken(frame, lake_root, most)
        append_once(raw_rows(frame) if messages is None else raw_table(messages), lake_root, spec, batch)

    return write


def start(spark: SparkSession, settings: Settings, epoch: int) -> list[StreamingQuery]:
    """Start one query per topic."""
    queries = []
    for name in BRONZE.queries:
        spec = table(f"bronze.{name}")
        ensure_table(spark, settings.lake_root, spec)
        checkpoint = checkpoint_path(settings, BRONZE.name, name)
        begin = "earliest" if has_checkpoint(spark, checkpoint) else starting_offsets(spark, settings, spec)
        most = settings.streams.max_offsets_per_trigger
        messages = kafka_stream(spark, settings, spec.topic, most, begin)
        writer = (
            messages_of(messages)
            .writeStream.queryName(f"bronze.{name}")
            .outputMode("append")
            .option("checkpointLocation", checkpoint)
            .foreachBatch(write_raw(settings.lake_root, spec, most))
        )
        queries.append(triggered(writer, lake_trigger(settings, BRONZE.name, name)).start())
    return queries


if __name__ == "__main__":
    sys.exit(main({BRONZE.name: start}))

"""Batch job `silver`: a load's bronze rows to silver, quarantine and late rows, by the streams' own transforms.

spark-submit spark_jobs/medallion_silver.py --source DIR --load NAME
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from fraud_domain.settings import Settings
from fraud_domain.tables import table
from spark_jobs.batch import main
from spark_jobs.batch_rows import counts
from spark_jobs.contract import TimeLimits, parse_transactions
from spark_jobs.history_load import Chunk, Load, append_history, is_written, plan, source_files
from spark_jobs.lake import ensure_table, read_table
from spark_jobs.medallion_bronze import BRONZE, parser
from spark_jobs.runtime import say
from spark_jobs.streaming_silver import PARTS, VALID, marked, without_sound_messages
from spark_jobs.table_parts import Part

SILVER = table("silver.transactions")
_PARTS = PARTS[SILVER.name]


def load_silver(spark: SparkSession, settings: Settings, load: Load) -> None:
    """Write every chunk that is not in silver, quarantine and late rows yet."""
    lake = settings.lake_root
    for part in _PARTS:
        ensure_table(spark, lake, part.spec)
    for chunk in load.chunks:
        missing = [part for part in _PARTS if not is_written(spark, lake, part.spec, load, chunk.version)]
        if missing:
            _load_chunk(spark, settings, load, chunk, missing)
        say(f"silver: chunk {chunk.version} of {len(load.chunks)}")


def _load_chunk(spark: SparkSession, settings: Settings, load: Load, chunk: Chunk, missing: Sequence[Part]) -> None:
    """Write a chunk to the tables that lack it."""
    lake, limits = settings.lake_root, TimeLimits(settings.streams.late_after, settings.streams.future_tolerance)
    raw = load.of(read_table(spark, lake, BRONZE), chunk)
    parsed = marked(without_sound_messages(parse_transactions(raw, limits))).persist()
    try:
        out = left_out(parsed.where(VALID), read_table(spark, lake, SILVER), load, chunk).persist()
        # Read before the write begins: a write that reads its own table fails when a stream appends meanwhile.
        out.count()
        # A refused row has no trusted id, so it is not among those left out.
        kept = parsed.join(out, ["partition", "offset"], "left_anti")
        for part, count in zip(missing, counts(parsed, [part.flag for part in missing]), strict=True):
            # A chunk is noted in each table, also where it has no row.
            rows = kept.where(part.flag) if count else kept.limit(0)
            append_history(rows, lake, part.spec, load, chunk.version)
        out.unpersist()
    finally:
        parsed.unpersist()


def left_out(valid: DataFrame, silver: DataFrame, load: Load, chunk: Chunk) -> DataFrame:
    """Positions of rows whose transaction is there already: earlier in the chunk or the load, or from another source.

    Rows that this chunk itself has written are no reason to drop any: a load that is run again gives the same rows.
    """
    mine = valid.select("transaction_id", "partition", "offset")
    earlier = silver.where((F.col("topic") != load.topic) | (F.col("partition") < chunk.first)).select("transaction_id")
    repeated = mine.groupBy("transaction_id").agg(F.count("*").alias("n")).where("n > 1").select("transaction_id")
    order = Window.partitionBy("transaction_id").orderBy("partition", "offset")
    repeats = (
        mine.join(F.broadcast(repeated), "transaction_id").withColumn("_n", F.row_number().over(order)).where("_n > 1")
    )
    there = mine.join(earlier, "transaction_id", "left_semi")
    return repeats.select("partition", "offset").union(there.select("partition", "offset"))


def run(spark: SparkSession, settings: Settings, chosen: argparse.Namespace) -> None:
    """The job."""
    load_silver(spark, settings, plan(chosen.load, source_files(Path(chosen.source))))


if __name__ == "__main__":
    sys.exit(main("silver", parser(), run))

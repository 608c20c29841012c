"""Batch job `bronze`: files of transactions to bronze, every line as it is.

    spark-submit spark_jobs/medallion_bronze.py --source DIR --load NAME

A row's position is (history:<load>, number of the file, line). The line is counted from 0 within each 128 MB of a file
and starts there at the byte offset, so that a large file can be read by many tasks. Its Kafka timestamp is the event
time it claims, so that history is not late; what claims to be younger than its file is in the future.
"""

import argparse
import sys
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from fraud_domain.settings import Settings
from fraud_domain.tables import table
from spark_jobs.batch import main
from spark_jobs.history_load import SPLIT_BYTES, Chunk, Load, append_history, is_written, plan, source_files
from spark_jobs.lake import ensure_table
from spark_jobs.masking import has_card_number, mask_card_numbers
from spark_jobs.runtime import say

BRONZE = table("bronze.transactions")
_ROW_IN_TASK = (1 << 33) - 1
"""`monotonically_increasing_id` keeps the row number in its lower 33 bits, the task in the upper ones."""


def load_bronze(spark: SparkSession, settings: Settings, load: Load) -> None:
    """Write every chunk that is not in bronze yet."""
    ensure_table(spark, settings.lake_root, BRONZE)
    # One task for each 128 MB of one file, whatever the number of cores: positions must not depend on the machine.
    spark.conf.set("spark.sql.files.maxPartitionBytes", str(SPLIT_BYTES))
    spark.conf.set("spark.sql.files.openCostInBytes", str(SPLIT_BYTES))
    spark.conf.set("spark.sql.files.minPartitionNum", "1")
    for chunk in load.chunks:
        if not is_written(spark, settings.lake_root, BRONZE, load, chunk.version):
            append_history(raw_rows(spark, load, chunk), settings.lake_root, BRONZE, load, chunk.version)
        say(f"bronze: chunk {chunk.version} of {len(load.chunks)}")


def raw_rows(spark: SparkSession, load: Load, chunk: Chunk) -> DataFrame:
    """Lines of the files as bronze rows."""
    numbers = {path.as_uri(): number for path, number in zip(chunk.files, chunk.numbers, strict=True)}
    lookup = F.create_map(*(F.lit(part) for pair in numbers.items() for part in pair))
    lines = spark.read.format("text").load([str(path) for path in chunk.files])
    path = F.regexp_replace(F.col("_metadata.file_path"), "^file:/+", "file:///")
    row = F.monotonically_increasing_id().bitwiseAND(F.lit(_ROW_IN_TASK))
    value = F.col("value").cast("binary")
    time = F.get_json_object("value", "$.event_time")
    written = F.col("_metadata.file_modification_time")
    claimed = F.coalesce(
        F.when(time.rlike(r"^[0-9]{12,14}$"), F.timestamp_millis(time.try_cast("bigint"))), time.try_cast("timestamp")
    )
    return lines.select(
        F.lit(load.topic).alias("topic"),
        F.element_at(lookup, path).alias("partition"),
        (F.col("_metadata.file_block_start") + row).alias("offset"),
        F.coalesce(F.least(claimed, written), written).alias("kafka_timestamp"),
        F.lit(None).cast("binary").alias("key"),
        mask_card_numbers(value).alias("value"),
        has_card_number(value).alias("card_masked"),
        F.current_timestamp().alias("ingested_at"),
        F.to_date(F.current_timestamp()).alias("ingest_date"),
    )


def run(spark: SparkSession, settings: Settings, chosen: argparse.Namespace) -> None:
    """The job."""
    load_bronze(spark, settings, plan(chosen.load, source_files(Path(chosen.source))))


def parser() -> argparse.ArgumentParser:
    """The arguments of the job."""
    made = argparse.ArgumentParser(prog="medallion_bronze.py", description="Files of transactions to bronze")
    made.add_argument("--source", required=True, help="a JSON Lines file, or a directory of them")
    made.add_argument("--load", required=True, help="name of the load; the same name again adds only what is missing")
    return made


if __name__ == "__main__":
    sys.exit(main("bronze", parser(), run))

"""What a query of Spark says about its batches: each once, and the same as PySpark's own way to ask."""

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from spark_jobs.spark_runtime import SparkQuery


def test_each_batch_is_told_once(spark: SparkSession, tmp_path: Path) -> None:
    def nothing(frame: DataFrame, number: int) -> None:
        frame.count()

    def send(rows: int) -> None:
        spark.range(rows).coalesce(1).write.mode("append").parquet(str(tmp_path / "source"))
        running.processAllAvailable()

    spark.range(2).coalesce(1).write.parquet(str(tmp_path / "source"))
    running = (
        spark.readStream.schema("id bigint")
        .parquet(str(tmp_path / "source"))
        .writeStream.queryName("gold.test")
        .option("checkpointLocation", str(tmp_path / "checkpoint"))
        .foreachBatch(nothing)
        .start()
    )
    try:
        query = SparkQuery(running)
        for rows in (3, 4):
            send(rows)
        first = query.reported(None)
        assert [progress.input_rows for progress in first if progress.input_rows] == [2, 3, 4]
        assert [progress.batch_id for progress in first if progress.input_rows] == [0, 1, 2]
        assert [progress.at for progress in first] == sorted(progress.at for progress in first)
        last = first[-1].at
        assert query.reported(last) == []
        send(5)
        fresh = query.reported(last)
        assert [progress.input_rows for progress in fresh if progress.input_rows] == [5]
        assert [*first, *fresh] == query.reported(None)
        theirs = [progress.numInputRows for progress in running.recentProgress]
        assert theirs == [progress.input_rows for progress in query.reported(None)]
    finally:
        running.stop()

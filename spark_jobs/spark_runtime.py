"""Streams on Spark: one session for all of an application's queries."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import orjson
from py4j.protocol import Py4JError
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from fraud_domain.settings import Settings
from spark_jobs import runtime
from spark_jobs.progress import Progress, at, from_json
from spark_jobs.runtime import EngineGoneError, Launch

Start = Callable[[SparkSession, Settings, int], list[StreamingQuery]]
"""Starts a stream's queries: (spark, settings, lease epoch)."""

_JVM_GONE = (Py4JError, OSError)
"""What every call into a JVM that was killed ends with."""


def main(streams: Mapping[str, Start]) -> int:
    """Run streams until they are told to stop, finish or fail; returns the exit code."""
    return runtime.main(tuple(streams), partial(_session, streams))


@contextmanager
def _session(streams: Mapping[str, Start], application: str) -> Iterator[Launch]:
    spark = (
        SparkSession.builder.appName(f"medallion-{application}")
        # Replanning after each stage is for large joins; of a micro-batch it took 6 to 9 % of an append's CPU.
        .config("spark.sql.adaptive.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("WARN")

    def launch(stream: str, settings: Settings, epoch: int) -> list[SparkQuery]:
        with _noticed():
            return [SparkQuery(query) for query in streams[stream](spark, settings, epoch)]

    try:
        yield launch
    finally:
        with contextlib.suppress(*_JVM_GONE):
            spark.stop()


@contextmanager
def _noticed() -> Iterator[None]:
    try:
        yield
    except _JVM_GONE as error:
        raise EngineGoneError(f"Spark's JVM is gone: {type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class SparkQuery:
    """A streaming query as `runtime.Query`."""

    query: StreamingQuery

    @property
    def name(self) -> str:
        """`stream.query`."""
        return self.query.name

    @property
    def generation(self) -> str:
        """The id of the query, which its checkpoint keeps."""
        with _noticed():
            return self.query.id

    def is_active(self) -> bool:
        """Whether it still runs."""
        with _noticed():
            return self.query.isActive

    def failure(self) -> str:
        """The line that names the cause; nothing when it runs or ended as it should."""
        with _noticed():
            error = None if self.query.isActive else self.query.exception()
        return "" if error is None else first_cause(str(error))

    def reported(self, after: datetime | None) -> Sequence[Progress]:
        """The batches that Spark remembers, from the newest back.

        PySpark's own `recentProgress` asks the JVM for each figure of each of the last hundred batches, some thirty
        thousand questions for a lake's queries: with a heartbeat every two seconds they took half of a thread's time.
        """
        found: list[Progress] = []
        with _noticed():
            for progress in reversed(self.query._jsq.recentProgress()):
                if after is not None and at(progress.timestamp()) <= after:
                    break
                found.append(from_json(orjson.loads(progress.json())))
        return found[::-1]

    def waits(self) -> bool:
        """Whether a trigger is over and had nothing to report."""
        with _noticed():
            return str(self.query.status["message"]).startswith("Waiting")

    def stop(self) -> None:
        """End the query; nothing to do when the JVM is gone."""
        with contextlib.suppress(*_JVM_GONE):
            self.query.stop()


def first_cause(message: str) -> str:
    """The line that names the cause in what Spark says of a failed query, without stack traces and plans."""
    report = message.split("\n\nJVM stacktrace")[0].split("=== Streaming Query ===")[0]
    # Py4J puts what Java raised on a line of its own, after a colon.
    lines = [line.removeprefix(": ") for line in report.splitlines()]
    raised = [
        line for line in lines if re.match(r"[A-Za-z_][\w.]*(Error|Exception)\b|[a-z_]\w*(\.\w+)*\.[A-Z]\w+:", line)
    ]
    return (raised[-1] if raised else report.strip().splitlines()[0] if report.strip() else "no reason given")[:1000]

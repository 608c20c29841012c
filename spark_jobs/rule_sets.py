"""Which rule set judges which batch: recorded in PostgreSQL, the same on every replay.

A rule set is published (`medallion rules publish`), the stream takes it up between two batches and records the
first batch that it judged. Workers learn of it without a restart: Spark ships the texts as a file and the plan
as a local property of the stream's thread, and a worker looks up its own batch. A batch that is run again after
a crash is judged by the rules it had, whatever was published meanwhile.
"""

import json
import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
import psycopg
from psycopg_pool import ConnectionPool
from pyspark import SparkFiles, TaskContext
from pyspark.sql import SparkSession

from fraud_domain.micro_batch import Batch
from spark_jobs.failpoints import Failpoint, reached
from spark_jobs.published_rules import (
    LOOK_EVERY_SECONDS,
    LOOK_PATIENCE_SECONDS,
    RuleSet,
    newer,
    record_boundary,
    require_newest,
    texts_of,
)

PLAN = "medallion.rule_sets"
"""Local property: JSON list of [first batch, rule-set version], ascending."""
_BATCH = "streaming.sql.batchId"


def of_this_batch(started_with: RuleSet) -> RuleSet:
    """The rule set of the batch that this task belongs to."""
    context = TaskContext.get()
    plan = context.getLocalProperty(PLAN) if context else None
    if context is None or not plan:
        return started_with
    version = version_of(json.loads(plan), int(context.getLocalProperty(_BATCH) or 0))
    return started_with if version == started_with.version else _shipped(version)


def version_of(plan: list[tuple[int, str]], batch_id: int) -> str:
    """The version in force for a batch, of a plan in ascending order."""
    return [version for first, version in plan if first <= batch_id][-1]


@lru_cache(maxsize=4)
def _shipped(version: str) -> RuleSet:
    content = orjson.loads(Path(SparkFiles.get(_file_name(version))).read_bytes())
    return RuleSet(version, tuple(content.items()))


def _file_name(version: str) -> str:
    return f"rules-{version}.json"


@dataclass(slots=True)
class RuleBook:
    """The driver's side: what was published, and from which batch a query uses it."""

    pool: ConnectionPool[psycopg.Connection[tuple[Any, ...]]]
    query: str
    folder: Path
    plan: list[tuple[int, str]] = field(default_factory=list)
    _activation: int = 0
    _recorded: bool = False
    _looked: float = 0.0

    def open(self, spark: SparkSession, generation: str | None) -> RuleSet:
        """The rule set to start with. Call it on the thread that starts the query.

        Args:
            generation: the checkpoint's, None when it is new.

        Raises:
            NoRuleSetError: nothing was ever published.
        """
        with self.pool.connection() as connection:
            self.plan = _boundaries(connection, self.query, generation) if generation else []
            self._recorded = bool(self.plan)
            if self._recorded:
                self._activation = _activation_of(connection, self.query, generation)
            else:
                self._activation, version = require_newest(connection)
                self.plan = [(0, version)]
            # A batch under way at the crash may still need the last but one.
            self.plan = self.plan[-2:]
            texts = {version: texts_of(connection, version) for _, version in self.plan}
        for version, content in texts.items():
            _ship(spark, self.folder, version, content)
        self._tell(spark)
        last = self.plan[-1][1]
        return RuleSet(last, tuple(texts[last].items()))

    def between_batches(self, spark: SparkSession, batch: Batch) -> None:
        """Called in `foreachBatch` of a judged batch: record what judged it, take up what was published since."""
        if self._recorded and time.monotonic() - self._looked < LOOK_EVERY_SECONDS:
            return
        self._looked = time.monotonic()
        if not self._recorded:
            with self.pool.connection() as connection:
                record_boundary(connection, self.query, batch.generation, batch.batch_id, self._activation)
            self._recorded = True
        published = self._published_since()
        if published is None:
            return
        with self.pool.connection() as connection:
            self._activation, version = published
            texts = texts_of(connection, version)
            record_boundary(connection, self.query, batch.generation, batch.batch_id + 1, self._activation)
        reached(Failpoint.AFTER_RULES_RECORDED)
        _ship(spark, self.folder, version, texts)
        self.plan = [*self.plan[-1:], (batch.batch_id + 1, version)]
        self._tell(spark)

    def _published_since(self) -> tuple[int, str] | None:
        """What was published after the rules in force. A database that is away delays new rules, not the batch."""
        try:
            with self.pool.connection(LOOK_PATIENCE_SECONDS) as connection:
                return newer(connection, self._activation)
        except psycopg.OperationalError:
            return None

    def _tell(self, spark: SparkSession) -> None:
        spark.sparkContext.setLocalProperty(PLAN, json.dumps(self.plan))


def _boundaries(connection: psycopg.Connection[Any], query: str, generation: str) -> list[tuple[int, str]]:
    return [
        (first, version)
        for first, version in connection.execute(
            "SELECT first_batch, version FROM fraud.rule_boundaries JOIN fraud.rule_activations USING (activation_id)"
            " WHERE query = %s AND generation = %s ORDER BY first_batch",
            (query, generation),
        ).fetchall()
    ]


def _activation_of(connection: psycopg.Connection[Any], query: str, generation: str | None) -> int:
    row = connection.execute(
        "SELECT max(activation_id) FROM fraud.rule_boundaries WHERE query = %s AND generation = %s", (query, generation)
    ).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def _ship(spark: SparkSession, folder: Path, version: str, texts: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _file_name(version)
    path.write_bytes(orjson.dumps(texts, option=orjson.OPT_SORT_KEYS))
    spark.sparkContext.addFile(str(path))

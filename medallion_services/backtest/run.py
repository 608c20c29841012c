"""One backtest: events to disk, decisions in several processes, numbers out; nothing else is touched."""

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from fraud_domain.cards import TokenKey
from fraud_domain.settings import Settings
from medallion_services.backtest import metrics
from medallion_services.backtest.ingest import TRUTH_SCHEMA, ingest, ingest_truth
from medallion_services.backtest.lake import read_lake
from medallion_services.backtest.pool import in_order
from medallion_services.backtest.ranking import DAY_US
from medallion_services.backtest.rule_sets import RuleSet
from medallion_services.backtest.worker import Share, decide_share
from medallion_services.errors import UserError
from medallion_services.mapping.loading import Mapping
from medallion_services.mapping.refusal import RejectedFile
from medallion_services.mapping.streaming import quiet, stream

LAKE = "lake"
_FIRST, _LAST = -(2**60), 2**60


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked. Times in epoch microseconds, `memory_mb` for the sorting of each process."""

    label_delay_us: int
    budget: int
    since_us: int | None = None
    until_us: int | None = None
    workers: int = 2
    memory_mb: int = 192
    labels: Path | None = None
    rejected: Path | None = None


@dataclass(slots=True)
class Report:
    """The outcome: `sets` in the order asked for, the rule set under test first."""

    source: str
    options: dict[str, Any]
    read: int
    refused: dict[str, int]
    totals: dict[str, Any]
    sets: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "source": self.source,
            "options": self.options,
            "rows_read": self.read,
            "refused": self.refused,
            "totals": self.totals,
            "rule_sets": self.sets,
        }


def run_backtest(
    settings: Settings,
    source: Path | None,
    mapping: Mapping | None,
    rule_sets: list[RuleSet],
    options: Options,
    token_key: Callable[[], TokenKey],
    say: Callable[[str], None],
) -> Report:
    """Judge the events of `source`, or of the lake when it is None, by each rule set.

    Raises:
        UserError: the source cannot be read, or holds no transaction in the time asked for.
    """
    with tempfile.TemporaryDirectory(prefix="medallion-backtest-") as directory:
        scratch = Path(directory)
        events, truth = scratch / "events.parquet", scratch / "truth.parquet"
        with RejectedFile(options.rejected) as rejected:
            read = _collect(settings, source, mapping, options, token_key, rejected, events, truth, scratch)
            say(f"{read:,} rows read, {rejected.total:,} refused")
        frame = metrics.Frame(
            _FIRST if options.since_us is None else options.since_us,
            _LAST if options.until_us is None else options.until_us,
            options.budget,
            options.label_delay_us,
        )
        config: dict[str, Any] = {
            "threads": 2,
            "memory_limit": "320MB",
            "temp_directory": directory,
        }
        with duckdb.connect(str(scratch / "numbers.duckdb"), config=config) as connection:
            quiet(connection)
            metrics.prepare(connection, events, truth, frame)
            totals = metrics.totals(connection)
            if not totals["transactions"]:
                raise UserError("no transactions in the time asked for; see --from, --to, and the refused rows")
            totals |= {name: _time(totals[name]) for name in ("first", "last")}
            name = LAKE if source is None else source.name
            report = Report(name, _shown(options), read, dict(sorted(rejected.counts.items())), totals)
            for number, rules in enumerate(rule_sets):
                report.sets.append(_judge(settings, rules, number, options, frame, connection, scratch))
                say(f"{rules.name}: {report.sets[-1]['overall']['alerts']:,} alerts")
            return report


def _collect(
    settings: Settings,
    source: Path | None,
    mapping: Mapping | None,
    options: Options,
    token_key: Callable[[], TokenKey],
    rejected: RejectedFile,
    events: Path,
    truth: Path,
    scratch: Path,
) -> int:
    if source is None:
        # What rules look back on is read, too; it is judged, but not counted.
        back = settings.rules.history_days * DAY_US
        since = _FIRST if options.since_us is None else options.since_us - back
        return read_lake(settings, events, truth, max(since, 0), options.until_us or _LAST, scratch)
    if mapping is None:
        raise UserError(f"{source.name} needs --mapping")
    read = ingest(source, mapping, events, token_key, rejected, options.workers)
    labels = mapping.file.labels
    if labels and labels.file:
        ingest_truth(options.labels or source.parent / labels.file.name, mapping, truth)
    else:
        _truth_of_rows(events, truth, scratch)
    return read


def _truth_of_rows(events: Path, truth: Path, scratch: Path) -> None:
    with (
        duckdb.connect(config={"threads": 1, "memory_limit": "128MB", "temp_directory": str(scratch)}) as connection,
        pq.ParquetWriter(truth, TRUTH_SCHEMA, compression="lz4") as writer,
    ):
        connection.read_parquet(str(events)).create_view("events")
        query = "SELECT transaction_id, _fraud AS fraud, _fraud_type AS fraud_type FROM events WHERE _fraud IS NOT NULL"
        for batch in stream(connection, query):
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=TRUTH_SCHEMA))


def _judge(
    settings: Settings,
    rules: RuleSet,
    number: int,
    options: Options,
    frame: metrics.Frame,
    connection: duckdb.DuckDBPyConnection,
    scratch: Path,
) -> dict[str, Any]:
    shares = [
        Share(
            rules=rules.texts,
            settings=settings.rules,
            kind=kind,
            part=part,
            parts=options.workers,
            events=scratch / "events.parquet",
            truth=scratch / "truth.parquet",
            label_delay_us=options.label_delay_us,
            scratch=scratch,
            target=scratch / f"decided_{number}_{kind.value}_{part}.parquet",
            memory_mb=options.memory_mb,
        )
        for kind in rules.catalogue.subjects
        for part in range(options.workers)
    ]
    abstained: Counter[str] = Counter()
    decided: Counter[str] = Counter()
    for share, done in zip(shares, in_order(decide_share, shares, options.workers), strict=True):
        abstained.update(done.abstained)
        decided[share.kind.value] += done.decided
    metrics.load_decisions(connection, [share.target for share in shares])
    return {
        "name": rules.name,
        "version": rules.catalogue.version,
        "decided": dict(decided),
        "overall": metrics.overall(connection, frame),
        "rules": metrics.per_rule(connection, rules.catalogue, abstained, decided),
        "overlaps": metrics.overlaps(connection, rules.catalogue),
    }


def _time(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1e6, UTC).isoformat(timespec="seconds")


def _shown(options: Options) -> dict[str, Any]:
    return {
        "label_delay_days": options.label_delay_us / DAY_US,
        "budget_per_day": options.budget,
        "from": None if options.since_us is None else _time(options.since_us),
        "to": None if options.until_us is None else _time(options.until_us),
    }

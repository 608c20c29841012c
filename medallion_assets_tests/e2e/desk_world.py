"""A fortnight of payments for the desk: generated traffic, judged by the real rules, written where the streams write.

No JVM: the engine is called directly, alerts go through the real alert sink, Delta tables are written by delta-rs.
"""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
from deltalake import Schema, write_deltalake
from psycopg.types.json import Jsonb

from fraud_domain.acceptance import Acceptance
from fraud_domain.micro_batch import Batch
from fraud_domain.rules import Engine, History, alert_id, load_catalogue
from fraud_domain.settings import Settings
from fraud_domain.tables import location, table
from fraud_domain.topics import TRANSACTIONS
from medallion_assets_tests.pipeline import database, take_lease
from medallion_services.dashboard import adopt, message
from medallion_services.generator.timeline import ALL_FRAUDS, Plan, Timeline
from medallion_services.generator.world import World
from spark_jobs.alert_sink import ALERT_COLUMNS, AlertSink, open_sink

DAYS, CUSTOMERS, SEED = 14, 300, 11
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIMENSIONS = {"type": "type", "channel": "channel", "category": "mcc", "state": "billing_state"}


def moment(micros: int) -> datetime:
    """Epoch microseconds as a moment."""
    return _EPOCH + timedelta(microseconds=micros)


@dataclass(slots=True)
class DeskWorld:
    """What was judged: transactions and decisions in order, alerts with the messages they were raised on."""

    settings: Settings
    transactions: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    messages: dict[str, bytes] = field(default_factory=dict)
    _batches: int = 0

    def judge(self, now: float) -> None:
        """Generate and judge everything up to `now`."""
        world = World(SEED, CUSTOMERS, CUSTOMERS, self.settings.token_key())
        timeline = Timeline(world, Plan(rate=0.01, seed=SEED, fraud_share=0.03, run_id="desk"))
        timeline.open_with(ALL_FRAUDS, now - 3 * 3600, every=600)
        engine = Engine(load_catalogue(self.settings.rules.directory), self.settings.rules)
        histories: defaultdict[str, History] = defaultdict(engine.new_history)
        acceptance = Acceptance(future_tolerance_us=300_000_000)
        sent = (each for each in timeline.emissions(now - DAYS * 86_400, now) if each.topic == TRANSACTIONS)
        for offset, emission in enumerate(sent):
            at = int(emission.send_at * 1e6)
            event = acceptance.accept(emission.value, at)
            decision = engine.decide(histories[event["customer_id"]], event) if event else None
            if event is None or decision is None:
                continue
            position = {"topic": TRANSACTIONS, "partition": 0, "offset": offset, "kafka_timestamp": moment(at)}
            plain = decision.as_json()
            known = event | position | {"event_time": moment(event["event_time"])}
            self.transactions.append(known)
            names = ("score", "level", "typology", "alert", "rule_set_version", "abstained", "subject_kind", "subject")
            document = known | {name: plain[name] for name in names}
            document |= {name: orjson.dumps(plain[name]).decode() for name in ("reasons", "shadow")}
            document["alert_id"] = alert_id(decision) if decision.alert else None
            self.decisions.append(document)
            if decision.alert:
                self.alerts.append(document)
                self.messages[document["alert_id"]] = emission.value

    def sink(self) -> AlertSink:
        """The alert stream's own sink."""
        return open_sink(
            self.settings.postgres_parameters("fraud_writer"), "alerts", take_lease(self.settings, "alerts")
        )

    def commit(self, sink: AlertSink, alerts: list[dict[str, Any]]) -> None:
        """Commit alerts as one batch of the stream."""
        self._batches += 1
        rows = [{name: alert[name] for name in ALERT_COLUMNS} for alert in alerts]
        assert sink.commit(Batch("alerts", "desk-world", self._batches), rows) == len(alerts)

    def backdate(self) -> None:
        """Let what is committed now have been detected when it happened."""
        rng = random.Random(SEED)
        with database(self.settings, "fraud_owner") as connection:
            for alert in self.alerts:
                detected = alert["kafka_timestamp"] + timedelta(milliseconds=rng.randrange(70, 260))
                connection.execute(
                    "UPDATE fraud.alerts SET detected_at = %s WHERE alert_id = %s", (detected, alert["alert_id"])
                )

    def record_contexts(self) -> None:
        """What the desk would read from Kafka, from the same messages."""
        rows = [adopt.context(key, message.parse(value)) for key, value in self.messages.items()]
        with database(self.settings, "fraud_desk") as connection:
            connection.execute("SELECT fraud.record_context(%s)", (Jsonb(rows),))

    def write_lake(self) -> None:
        """The Delta tables that the desk reads."""
        now = datetime.now(UTC)
        silver = [
            row | {"is_late": False, "ingested_at": now, "event_date": row["event_time"].date()}
            for row in self.transactions
        ]
        gold = [row | {"event_date": row["event_time"].date()} for row in self.decisions]
        self._write("silver.transactions", silver)
        self._write("gold.fraud_decisions", gold)
        self._write("gold.fraud_alerts", [row for row in gold if row["alert"]])

    def _write(self, name: str, rows: list[dict[str, Any]]) -> None:
        spec = table(name)
        schema = pa.schema(Schema.from_json(json.dumps(spec.delta_schema)).to_arrow())
        # Amounts carry their own scale; the table has one.
        scaled = [{**row, "amount": Decimal(row["amount"]).quantize(Decimal("0.0001"))} for row in rows]
        columns = {f.name: pa.array([row.get(f.name) for row in scaled], f.type) for f in schema}
        write_deltalake(location(self.settings.lake_root, spec), pa.table(columns, schema=schema))

    def write_marts(self) -> None:
        """Traffic by hour and minute, rule metrics, and streams that look alive."""
        hours: Counter[tuple[datetime, str, str]] = Counter()
        volume: defaultdict[tuple[datetime, str, str], Decimal] = defaultdict(Decimal)
        for row in self.transactions:
            hour = row["event_time"].replace(minute=0, second=0, microsecond=0)
            values = {name: str(row.get(column) or "unknown") for name, column in _DIMENSIONS.items()} | {"all": "all"}
            for key in ((hour, *each) for each in values.items()):
                hours[key] += 1
                volume[key] += max(row["amount"], Decimal(0))
        rng = random.Random(SEED)
        with database(self.settings, "fraud_writer") as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO mart.transaction_metrics_hour VALUES (%s, %s, %s, 'BRL', %s, %s, 0, 0, 0, %s, 0)",
                [(*key, count, count, volume[key]) for key, count in hours.items()],
            )
            cursor.executemany(
                "INSERT INTO mart.rule_metrics_daily VALUES (%s, %s, 'v', %s, %s, %s, %s)", self._rules()
            )
            cursor.executemany(
                "INSERT INTO mart.transaction_metrics_minute VALUES (%s, 'all', 'all', 'BRL', %s, %s, %s, 0, 0, 0, 0)",
                [(at, rng.randrange(1150, 1290), 1150, rng.randrange(35, 60)) for at in _minutes(90)],
            )
            for stream, pause in {"alerts": 1, "bronze": 7, "silver": 9, "gold": 25}.items():
                cursor.execute(
                    "INSERT INTO fraud.stream_heartbeat (stream, application, generation, host, driver_pid, run_id,"
                    " started_at, beat_at, state, batch_id) VALUES (%s, %s, 'g', 'here', 1, '', now(),"
                    " now() + interval '10 minutes', 'running', 4711)",
                    (stream, "alerts" if stream == "alerts" else "lake"),
                )
                cursor.executemany(
                    "INSERT INTO fraud.stream_progress VALUES (%s, 'q', %s, %s, %s, 900, %s, %s, %s)",
                    [
                        (stream, n, at, rng.randrange(1150, 1290), pause * rng.randrange(80, 120), rng.randrange(4),
                         Jsonb({"state_rows": 3000 + 4 * n, "state_bytes": 2_000_000 + 3000 * n}))
                        for n, at in enumerate(_minutes(60))
                    ],
                )  # fmt: skip

    def _rules(self) -> Iterator[tuple[Any, ...]]:
        counts: defaultdict[tuple[Any, str], list[float]] = defaultdict(lambda: [0, 0, 0, 0.0])
        for row in self.decisions:
            for kind in ("reasons", "shadow"):
                for reason in orjson.loads(row[kind]):
                    tally = counts[row["event_time"].date(), reason["rule_id"]]
                    tally[0 if kind == "reasons" else 2] += 1
                    tally[1] += row["alert"] and kind == "reasons"
                    tally[3] += reason["contribution"]
        yield from ((day, rule, *tally) for (day, rule), tally in counts.items())


def _minutes(count: int) -> list[datetime]:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    return [now - timedelta(minutes=count - n) for n in range(count)]

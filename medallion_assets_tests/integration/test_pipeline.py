"""From the generator to alerts on real servers, compared with the oracle exactly."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from fraud_domain.cards import find_card_numbers
from fraud_domain.rules import alert_id
from fraud_domain.settings import AlertLane, Settings
from fraud_domain.streams import checkpoint_path
from fraud_domain.tables import delta_tables
from medallion_assets.defs.quality.invariants import INVARIANTS
from medallion_assets.defs.quality.lake_sql import lake_sql
from medallion_assets.defs.quality.table_checks import LAKE_CHECKS, schema_matches
from medallion_assets.defs.quality.view import View
from medallion_assets.platform import Platform
from medallion_assets_tests.pipeline import (
    AVAILABLE_NOW,
    Decided,
    database,
    drain,
    drain_all,
    drain_direct,
    expected_decisions,
    lake_rows,
    messages,
    take_lease,
)
from medallion_services.checkpoints.doctor import rebase
from medallion_services.embedded import kafka, postgres
from medallion_services.embedded.java import Java
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.throwaway import fresh_settings, running
from medallion_services.generator.gangs import GANGS
from medallion_services.generator.noise import Noise
from medallion_services.generator.oracle import OracleFile
from medallion_services.generator.producer import KafkaSink
from medallion_services.generator.timeline import Plan, Timeline
from medallion_services.generator.world import World
from spark_jobs.batch import Days, rule_set
from spark_jobs.direct.store import Store, StoreError
from spark_jobs.medallion_gold import recompute
from spark_jobs.rebase import LostCheckpointError

SEED = 20261124
CUSTOMERS = 120
HISTORY_DAYS, LIVE_SECONDS, LIVE_RATE = 25, 1800.0, 0.5
A_CARD = "4111111111111111"


@dataclass(frozen=True, slots=True)
class Ran:
    """A finished pipeline and what should have come out of it."""

    settings: Settings
    expected: Decided
    truth: list[dict[str, object]]


def produce(settings: Settings, oracle: Path) -> None:
    """A month of ordinary life, then half an hour full of fraud, with everything that goes wrong on the way."""
    now = time.time()
    world = World(SEED, CUSTOMERS, CUSTOMERS, settings.token_key())
    past = Timeline(world, Plan(1, SEED, fraud_share=0.0, run_id="past"))
    live_plan = Plan(
        LIVE_RATE,
        SEED,
        fraud_share=0.5,
        run_id="live",
        noise=Noise(duplicates=0.05, out_of_order=0.05, late=0.02, malformed=0.05),
    )
    live = Timeline(world, live_plan)
    start = now - LIVE_SECONDS
    live.open_with(GANGS, start, every=60.0)
    with KafkaSink(settings) as sink, OracleFile(oracle) as truth:
        history = past.emissions(start - HISTORY_DAYS * 86_400, start, CUSTOMERS * 12 / (HISTORY_DAYS * 86_400))
        for emissions in (history, live.emissions(start, now), live.remaining(now)):
            for emission in emissions:
                sink.send(emission)
                truth.note(emission)


@pytest.fixture(scope="module")
def ran(spark: SparkSession, java: Java, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """The whole pipeline, run to the end on servers of its own."""
    with fresh_settings() as fresh:
        settings = Settings.model_validate(fresh.model_dump() | {"streams": AVAILABLE_NOW})
        with running(settings, postgres.component(settings)), running(settings, kafka.component(settings, java)):
            prepare_database(settings)
            oracle = tmp_path_factory.mktemp("oracle") / "truth.jsonl"
            produce(settings, oracle)
            drain_all(spark, settings)
            truth = [json.loads(line) for line in oracle.read_text(encoding="utf-8").splitlines()]
            yield Ran(settings, expected_decisions(settings), truth)


def test_the_scene_is_worth_it(ran: Ran) -> None:
    """The traffic really holds fraud, honest look-alikes, repeats, damage, lateness and disorder."""
    kinds = Counter((line["kind"], line["fraud"]) for line in ran.truth)
    assert kinds["event", True] > 100
    assert kinds["malformed", False] > 20
    assert sum(count for (kind, _), count in kinds.items() if kind == "duplicate") > 20
    assert lake_rows(ran.settings, "silver.late_transactions", ["transaction_id"])
    assert len({d.typology for d in ran.expected.values() if d.alert}) >= 6
    assert {kind for (kind, _), d in ran.expected.items() if d.alert} == {"customer", "device", "merchant", "terminal"}


def test_no_alert_is_lost_doubled_or_different(ran: Ran) -> None:
    wanted = {alert_id(d): d for d in ran.expected.values() if d.alert}
    with database(ran.settings) as connection:
        rows = connection.execute("SELECT * FROM fraud.alerts").fetchall()
    assert {row["alert_id"] for row in rows} == set(wanted)
    for row in rows:
        decision = wanted[row["alert_id"]]
        assert (row["score"], row["level"], row["typology"]) == (decision.score, decision.level, decision.typology)
        assert row["reasons"] == json.loads(json.dumps(decision.as_json()["reasons"]))
        assert row["rule_set_version"] == decision.rule_set_version


def test_every_transaction_has_one_decision_in_the_log(ran: Ran) -> None:
    columns = ["subject_kind", "transaction_id", "score", "reasons", "abstained"]
    rows = lake_rows(ran.settings, "gold.fraud_decisions", columns)
    assert len(rows) == len(ran.expected)
    for row in rows:
        decision = ran.expected[str(row["subject_kind"]), str(row["transaction_id"])]
        assert row["score"] == decision.score
        assert json.loads(str(row["reasons"])) == json.loads(json.dumps(decision.as_json()["reasons"]))
        assert row["abstained"] == list(decision.abstained)


def test_batch_decides_as_the_stream_did(ran: Ran, spark: SparkSession) -> None:
    """The same rows judged again from silver, all days at once: no decision differs in anything."""
    days = Days(date(2000, 1, 1), datetime.now(UTC).date() + timedelta(days=2))
    rules = rule_set(ran.settings)
    recompute(spark, ran.settings, days, rules, look_back_days=1)
    with lake_sql(Platform(ran.settings)) as lake:
        counts = [
            lake.execute(f"SELECT count(*) FROM gold.{name}").fetchall()  # noqa: S608 - names from the line below
            for name in ("fraud_decisions", "recomputed_decisions")
        ]
        differing = lake.execute(
            "(SELECT * FROM gold.fraud_decisions EXCEPT SELECT * FROM gold.recomputed_decisions) UNION ALL"
            " (SELECT * FROM gold.recomputed_decisions EXCEPT SELECT * FROM gold.fraud_decisions)"
        ).fetchall()
    assert differing == []
    assert counts[0] == counts[1]


def test_bronze_is_silver_plus_quarantine_plus_duplicates(ran: Ran) -> None:
    kinds = Counter(line["kind"] for line in ran.truth if line["topic"] == "transactions")
    bronze = lake_rows(ran.settings, "bronze.transactions", ["offset"])
    silver = lake_rows(ran.settings, "silver.transactions", ["transaction_id"])
    quarantine = [r for r in lake_rows(ran.settings, "silver.quarantine", ["topic"]) if r["topic"] == "transactions"]
    assert len(bronze) == sum(kinds.values())
    assert len(silver) == kinds["event"]
    assert len(quarantine) == kinds["malformed"]
    assert len(bronze) == len(silver) + len(quarantine) + kinds["duplicate"]
    assert {r["transaction_id"] for r in silver} == {name for kind, name in ran.expected if kind == "customer"}


def test_lateness_is_what_the_generator_did(ran: Ran) -> None:
    late = {r["transaction_id"] for r in lake_rows(ran.settings, "silver.late_transactions", ["transaction_id"])}
    marked = {r["transaction_id"] for r in lake_rows(ran.settings, "silver.transactions") if r["is_late"]}
    assert late == marked
    counted = sum(
        int(str(r["late"]))
        for r in lake_rows(ran.settings, "gold.transaction_metrics_hour", ["dimension", "late"])
        if r["dimension"] == "all"
    )
    assert counted == len(late)


def test_labels_are_apart_and_complete(ran: Ran) -> None:
    labels = {line["transaction_id"] for line in ran.truth if line["kind"] == "label"}
    assert {r["transaction_id"] for r in lake_rows(ran.settings, "silver.labels", ["transaction_id"])} == labels
    assert not any(
        b"fraud" in bytes(m.value()).lower()
        for m in messages(ran.settings, "transactions")
        if b"is_fraud" not in m.value()
    )


def test_every_check_of_every_table_passes(ran: Ran) -> None:
    platform = Platform(ran.settings)
    failed = []
    with lake_sql(platform) as lake, platform.database() as connection:
        view = View(platform, lake, connection, datetime.now(UTC) + timedelta(hours=1))
        for spec in delta_tables():
            findings = {name: check(lake, spec) for name, check in LAKE_CHECKS.items()}
            findings["schema"] = schema_matches(platform.delta(spec), spec)
            failed += [(spec.full_name, name, f.text) for name, f in findings.items() if not f.passed]
        for name, invariants in INVARIANTS.items():
            for check_name, invariant in invariants.items():
                finding = invariant(view)
                if not finding.passed:
                    failed.append((name, check_name, finding.text))
    assert not [f for f in failed if f[1] != "share_within_limit"]


def test_window_metrics_equal_a_recount(ran: Ran) -> None:
    with lake_sql(Platform(ran.settings)) as lake:
        recount = lake.execute(
            "SELECT date_trunc('hour', event_time), channel, count(*),"
            " sum(amount) FILTER (WHERE amount > 0 AND status = 'APPROVED')"
            " FROM silver.transactions GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        metrics = lake.execute(
            "SELECT window_start, value, transactions, amount FROM gold.transaction_metrics_hour"
            " WHERE dimension = 'channel' ORDER BY ALL"
        ).fetchall()
    assert [(*row[:3], row[3] or Decimal(0)) for row in recount] == metrics


def test_replaying_everything_changes_nothing(ran: Ran, spark: SparkSession) -> None:
    """A second run finds no new rows: same alerts, same rows, same ledger."""
    before = state(ran.settings)
    drain(spark, ran.settings, *("alerts", "bronze", "silver", "gold"))
    assert state(ran.settings) == before


def test_lost_bronze_checkpoint_costs_nothing(ran: Ran, spark: SparkSession) -> None:
    """The table itself says where to go on: no row twice, none skipped."""
    before = state(ran.settings)
    shutil.rmtree(f"{ran.settings.checkpoint_root}/bronze")
    drain(spark, ran.settings, "bronze")
    assert state(ran.settings) == before


@pytest.mark.parametrize(("stream", "query"), [("silver", "transactions"), ("gold", "decisions")])
def test_lost_checkpoint_is_refused_where_it_would_double_rows(
    ran: Ran, spark: SparkSession, stream: str, query: str
) -> None:
    before = state(ran.settings)
    checkpoint = Path(ran.settings.checkpoint_root) / stream / query
    aside = checkpoint.rename(checkpoint.with_name(f"{query}-aside"))
    try:
        with pytest.raises(LostCheckpointError, match=r"lost-checkpoint\.md"):
            drain(spark, ran.settings, stream)
    finally:
        aside.rename(checkpoint)
    assert state(ran.settings) == before


def state(settings: Settings) -> dict[str, int]:
    """Row counts of everything."""
    counts = {spec.full_name: len(lake_rows(settings, spec.full_name, [spec.key[0]])) for spec in delta_tables()}
    with database(settings) as connection:
        for name in ("alerts", "outbox", "batch_ledger"):
            row = connection.execute(f"SELECT count(*) AS n FROM fraud.{name}").fetchone()  # noqa: S608
            counts[name] = row["n"] if row else -1
    return counts


def sparks_histories(settings: Settings, spark: SparkSession, query: str) -> dict[tuple[str, str], str]:
    """Spark's state of a query of the alert lane, by kind and name of subject."""
    path = f"{settings.checkpoint_root}/alerts/{query}"
    rows = spark.read.format("statestore").option("path", path).option("stateVarName", "history").load().collect()
    return {(row.key.subject_kind, row.key.subject): bytes(row.value.history).decode() for row in rows}


def test_no_card_number_is_anywhere(ran: Ran, spark: SparkSession) -> None:
    """Not in Kafka, the state, the database or any file we write; the lake has a check of its own.

    Kafka's log and the state are compressed on disk, so they are read through their own readers.
    """
    assert list(find_card_numbers(f"x {A_CARD} y")) == [A_CARD], "the scanner itself works"
    places: dict[str, str] = {}
    for topic in ("transactions", "fraud_labels", "account_events", "fraud_decisions"):
        for number, message in enumerate(messages(ran.settings, topic)):
            places[f"{topic} {number}"] = bytes(message.value()).decode("latin-1")
    histories = sparks_histories(ran.settings, spark, "decide")
    assert len(histories) == CUSTOMERS
    places |= {f"history of {name}": text for (_, name), text in histories.items()}
    with database(ran.settings) as connection:
        for row in connection.execute("SELECT to_jsonb(a)::text AS alert FROM fraud.alerts a").fetchall():
            places[f"alert {len(places)}"] = row["alert"]
    for file in ran.settings.data_dir.rglob("*"):
        if file.suffix in {".log", ".json", ".conf", ".properties", ".txt"} and file.is_file():
            places[str(file)] = file.read_bytes().decode("latin-1")
    assert not [place for place, text in places.items() if list(find_card_numbers(text))]


def test_the_direct_lane_goes_on_where_sparks_stopped(ran: Ran, spark: SparkSession) -> None:
    """After a rebase it has the histories that Spark's lane had, raises nothing again, and logs no customer again.

    Of others it logs what a rebase says may be logged again, which gold drops.
    """
    before, logged = state(ran.settings), customers_logged(ran.settings)
    sparks = sparks_histories(ran.settings, spark, "decide") | sparks_histories(ran.settings, spark, "decide_others")
    streams = ran.settings.streams.model_copy(update={"alert_lane": AlertLane.DIRECT})
    direct = ran.settings.model_copy(update={"streams": streams})
    with pytest.raises(StoreError, match="a checkpoint of Spark's"):
        drain_direct(direct, take_lease(direct, "alerts"))
    for query in ("alerts.decide", "alerts.decide_others"):
        rebase(direct, query, "to the direct lane", datetime.now(UTC))
    drain_direct(direct, take_lease(direct, "alerts"))
    drain(spark, ran.settings, "bronze", "gold")
    ledger, decisions = "batch_ledger", "bronze.decisions"
    assert {n: c for n, c in state(ran.settings).items() if n not in (ledger, decisions)} == {
        n: c for n, c in before.items() if n not in (ledger, decisions)
    }
    assert customers_logged(ran.settings) == logged
    store = Store(Path(checkpoint_path(direct, "alerts", "decide")), take_lease(direct, "alerts"))
    kept = {(kind, name): json.loads(history) for kind, name, history in store.subjects()}
    store.close()
    assert kept == {subject: json.loads(history) for subject, history in sparks.items()}


def customers_logged(settings: Settings) -> int:
    """Decisions about customers in the log."""
    return sum(b'"subject_kind":"customer"' in m.value() for m in messages(settings, "fraud_decisions"))

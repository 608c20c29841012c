"""A whole backtest on small files: against the oracle, against plain counting, and against itself."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from fraud_domain.cards import TokenKey
from fraud_domain.rules import Subject, load_catalogue
from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_assets_tests.reference_evaluator import ReferenceEvaluator
from medallion_services.backtest.html import page
from medallion_services.backtest.ranking import DAY_US
from medallion_services.backtest.rule_sets import rule_set
from medallion_services.backtest.run import Options, Report, run_backtest
from medallion_services.cli import app
from medallion_services.errors import UserError
from medallion_services.generator.timeline import Plan, Timeline
from medallion_services.generator.world import World
from medallion_services.mapping.loading import load_mapping
from medallion_services.mapping.opening import open_file

SAMPLES = PROJECT_ROOT / "samples"
BASELINE = SAMPLES / "baseline_rules"
RULES = Settings().rules.directory
DAYS = 20


def traffic(directory: Path, rows: int, seed: int = 5, customers: int = 20) -> Path:
    """A generator file with its truth beside it."""
    plan = Plan(rate=rows / (DAYS * 86_400), seed=seed, fraud_share=0.1)
    timeline = Timeline(World(seed, customers, customers, TokenKey("k1", b"x" * 32)), plan)
    with (directory / "day.jsonl").open("wb") as day, (directory / "truth.jsonl").open("wb") as truth:
        for emission in timeline.emissions(1.79e9, 1.79e9 + DAYS * 86_400):
            told = emission.truth
            if emission.topic == "transactions":
                day.write(emission.value + b"\n")
            line = {"kind": told.kind, "transaction_id": told.transaction_id, "fraud": told.fraud}
            truth.write(orjson.dumps({**line, "scenario": told.scenario}) + b"\n")
    return directory / "day.jsonl"


def run(file: Path, *rules: Path, workers: int = 1, **options: Any) -> Report:
    """A backtest of a generator file."""
    sets = [rule_set(str(each), RULES) for each in rules or (RULES,)]
    chosen = Options(7 * DAY_US, 5, workers=workers, **options)
    mapping = load_mapping(SAMPLES / "generator.mapping.yaml")
    key = TokenKey("k1", b"x" * 32)
    return run_backtest(Settings(), file, mapping, sets, chosen, lambda: key, lambda text: None)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return traffic(tmp_path_factory.mktemp("backtest"), 400)


@pytest.fixture(scope="module")
def report(file: Path) -> Report:
    return run(file, RULES, BASELINE)


@pytest.fixture(scope="module")
def events(file: Path) -> list[dict[str, Any]]:
    """The same events, read one by one."""
    with open_file(file, load_mapping(SAMPLES / "generator.mapping.yaml")) as opened:
        rows = opened.accepted(lambda: TokenKey("k1", b"x" * 32), lambda refusal: pytest.fail(str(refusal)))
        return sorted((row.event for row in rows), key=lambda e: (e["event_time"], e["transaction_id"]))


@pytest.fixture(scope="module")
def frauds(file: Path) -> set[str]:
    lines = map(orjson.loads, (file.parent / "truth.jsonl").read_bytes().splitlines())
    return {line["transaction_id"] for line in lines if line["kind"] == "event" and line["fraud"]}


def test_backtest_agrees_with_the_oracle_and_with_plain_counting(
    report: Report, events: list[dict[str, Any]], frauds: set[str]
) -> None:
    catalogue = load_catalogue(BASELINE)
    oracle = ReferenceEvaluator(catalogue, Settings().rules, Subject.CUSTOMER)
    arrived: dict[str, list[dict[str, Any]]] = defaultdict(list)
    hits: dict[str, set[str]] = defaultdict(set)
    scores: dict[str, float] = {}
    alerts: set[str] = set()
    abstained: dict[str, int] = defaultdict(int)
    for event in events:
        decision = oracle.decide(arrived[event["customer_id"]], event)
        assert decision
        arrived[event["customer_id"]].append(event)
        scores[event["transaction_id"]] = decision.score
        alerts |= {event["transaction_id"]} if decision.alert else set()
        for reason in decision.reasons:
            hits[reason.rule_id].add(event["transaction_id"])
        for rule_id in decision.abstained:
            abstained[rule_id] += 1
    found = report.sets[1]
    assert frauds
    assert sum(map(len, hits.values())) > 10, "the file says nothing about the rules"
    for rule in found["rules"]:
        mine = hits[rule["rule_id"]]
        assert rule["hits"] == len(mine)
        assert rule["alerts"] == len(mine & alerts)
        assert rule["precision"] == (len(mine & frauds) / len(mine) if mine else None)
        assert rule["recall"] == len(mine & frauds) / len(frauds)
        others = set().union(*(hits[name] for name in hits if name != rule["rule_id"]))
        assert rule["incremental_frauds"] == len(mine & alerts & frauds - others)
        assert rule["abstained"] == abstained[rule["rule_id"]] / len(events)
    overall = found["overall"]
    assert overall["alerts"] == len(alerts)
    assert overall["recall"] == len(alerts & frauds) / len(frauds)
    by_day: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if scores[event["transaction_id"]]:
            by_day[event["event_time"] // DAY_US].append(event)
    first = [
        event["transaction_id"]
        for day in by_day.values()
        for event in sorted(day, key=lambda e: (-scores[e["transaction_id"]], e["event_time"], e["transaction_id"]))[:5]
    ]
    assert overall["budget_precision"] == len(frauds & set(first)) / len(first)
    lost = sum(e["amount"] for e in events if e["transaction_id"] in frauds and e["amount"] > 0)
    caught = sum(e["amount"] for e in events if e["transaction_id"] in frauds & alerts and e["amount"] > 0)
    assert overall["value"]["BRL"]["fraud"] == pytest.approx(float(lost))
    assert overall["value"]["BRL"]["caught"] == pytest.approx(float(caught))


@pytest.mark.slow
def test_number_of_workers_changes_nothing(file: Path, report: Report) -> None:
    alone, together = report.sets[0], run(file, workers=2).sets[0]
    assert json.dumps(together) == json.dumps(alone)


def test_catalogue_beats_amount_and_velocity_on_the_generators_traffic(report: Report) -> None:
    ours, baseline = (each["overall"] for each in report.sets)
    assert ours["average_precision"] > baseline["average_precision"]
    assert ours["card_precision"] >= baseline["card_precision"]


@pytest.mark.slow
def test_window_is_counted_and_what_lies_before_is_only_looked_back_on(file: Path, report: Report) -> None:
    middle = (1_790_000_000 * 1_000_000 // DAY_US + DAYS // 2) * DAY_US
    early, late = run(file, until_us=middle), run(file, since_us=middle)
    assert early.totals["transactions"] + late.totals["transactions"] == report.totals["transactions"]
    hits = [sum(rule["hits"] for rule in each.sets[0]["rules"]) for each in (early, late, report)]
    assert hits[0] + hits[1] == hits[2]
    with pytest.raises(UserError, match="no transactions"):
        run(file, since_us=2**58)


@pytest.mark.slow
def test_duplicates_of_a_file_are_counted_once(file: Path, report: Report, tmp_path: Path) -> None:
    twice = tmp_path / "day.jsonl"
    twice.write_bytes(file.read_bytes() * 2)
    (tmp_path / "truth.jsonl").write_bytes((file.parent / "truth.jsonl").read_bytes())
    again = run(twice)
    assert again.read == 2 * report.read
    assert json.dumps(again.sets[0]["overall"]) == json.dumps(report.sets[0]["overall"])


def test_rules_of_a_revision_and_of_nowhere() -> None:
    assert rule_set("HEAD", RULES).catalogue.rules
    for name in ("no-such-revision", "--upload-pack=x"):
        with pytest.raises(UserError, match="neither a directory nor a revision"):
            rule_set(name, RULES)


def test_page_needs_nothing_else_and_shows_both_sets(report: Report) -> None:
    html = page(report.as_json())
    assert html.count("<svg") == 3
    assert "difference" in html
    for word in ("http:", "https:", "<script", "<link", "src="):
        assert word not in html
    assert all(rule["rule_id"] in html for rule in report.sets[0]["rules"])


@pytest.mark.slow
def test_command_prints_writes_and_touches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    arguments = ["backtest", str(SAMPLES / "european_cards.csv.gz"), "-m", str(SAMPLES / "european_cards.mapping.yaml")]
    arguments += ["--against", str(BASELINE), "--workers", "1", "--html", str(tmp_path / "r.html")]
    ran = CliRunner().invoke(app, [*arguments, "--json", str(tmp_path / "r.json")])
    assert ran.exit_code == 0, ran.output
    assert "card precision" in ran.output
    content = json.loads((tmp_path / "r.json").read_bytes())
    assert content["rows_read"] == content["totals"]["transactions"] + sum(content["refused"].values())
    assert "<svg" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert not (tmp_path / "data").exists()

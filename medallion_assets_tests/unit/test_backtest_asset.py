"""The asset `gold/backtest_daily`: wired to silver, one day a partition, and it reports what the command found."""

import json
from pathlib import Path

import dagster as dg
import pytest
from deltalake import write_deltalake

from fraud_domain.settings import PROJECT_ROOT, Settings
from fraud_domain.tables import location, table
from medallion_assets.definitions import build_defs
from medallion_assets.defs.backtest.definitions import KEY, backtest_daily, command
from medallion_assets.defs.backtest.summary import rule_table
from medallion_assets.defs.quality.lake_sql import empty
from medallion_services.mapping.judging import iso
from medallion_services.mapping.loading import load_mapping
from medallion_services.mapping.opening import open_file

SAMPLE = PROJECT_ROOT / "samples" / "simulated_cards.parquet"


def test_asset_hangs_on_silver_and_its_job_exists() -> None:
    definitions = build_defs(Settings())
    node = definitions.resolve_asset_graph().get(KEY)
    assert {"/".join(key.path) for key in node.parent_keys} == {"silver/transactions", "silver/labels"}
    assert node.partitions_def is not None
    assert definitions.resolve_job_def("backtest").name == "backtest"


def test_command_covers_one_day() -> None:
    words = command("2026-02-28")
    assert words[words.index("--from") + 1] == "2026-02-28"
    assert words[words.index("--to") + 1] == "2026-03-01"


def test_rules_without_a_hit_are_named_below_the_table() -> None:
    rule = {"rule_id": "A-1", "hits": 3, "alerts": 1, "precision": 0.5, "recall": None, "dormant": False}
    assert rule_table([rule, {**rule, "rule_id": "B-1", "dormant": True}]).endswith("| 50.0% | - |\n\nno hit: B-1")


def fill_silver(settings: Settings) -> str:
    """The sample as silver tables; the day of its first fraud."""
    rows, labels, day = [], [], ""
    with open_file(SAMPLE, load_mapping(SAMPLE.with_name("simulated_cards.mapping.yaml"))) as file:
        for row in file.accepted(settings.token_key, lambda refusal: pytest.fail(str(refusal))):
            time = iso(row.event["event_time"])
            rows.append({**row.event, "event_time": time, "event_date": time[:10]})
            if row.label:
                name = "fraud" if row.label.fraud else "legit"
                known = {"transaction_id": row.event["transaction_id"], "label": name, "label_time": time}
                labels.append({**known, "source": "chargeback"})
            day = day or (time[:10] if row.label and row.label.fraud else "")
    import pandas as pd
    import pyarrow as pa

    for name, content in (("silver.transactions", rows), ("silver.labels", labels)):
        spec = table(name)
        schema = empty(spec).schema
        frame = pd.DataFrame(content).reindex(columns=schema.names)
        for column in schema.names:
            if pa.types.is_timestamp(schema.field(column).type):
                frame[column] = pd.to_datetime(frame[column], utc=True)
            elif pa.types.is_date(schema.field(column).type):
                frame[column] = pd.to_datetime(frame[column]).dt.date
        free = pa.schema([field.with_nullable(True) for field in schema])
        arrow = pa.Table.from_pandas(frame, schema=free, preserve_index=False)
        write_deltalake(location(settings.lake_root, spec), arrow)
    return day


@pytest.mark.slow
def test_asset_judges_a_day_of_the_lake_and_reports_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_DATA_DIR", str(tmp_path))
    day = fill_silver(Settings())
    result = dg.materialize([backtest_daily], partition_key=day)
    assert result.success
    (event,) = result.get_asset_materialization_events()
    found = event.materialization.metadata
    assert json.loads(str(found["dagster/row_count"].value)) > 10
    assert int(str(found["frauds"].value)) > 0
    assert "| rule |" in str(found["rules"].value)


def test_empty_lake_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_DATA_DIR", str(tmp_path))
    result = dg.materialize([backtest_daily], partition_key="2026-02-01", raise_on_error=False)
    assert not result.success
    assert "no transactions" in str(result.all_events)

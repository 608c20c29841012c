"""Delta's settings of the tables: a table of an older release gets those of this one, once."""

from pathlib import Path
from typing import cast

import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from fraud_domain.intervals import interval_micros
from fraud_domain.tables import delta_tables, location, table
from medallion_assets.defs.maintenance.lake import STILL_TO_READ
from spark_jobs.lake import ensure_table, properties

NO_SPARK = cast(SparkSession, None)
"""On a local lake tables are made without it."""


@pytest.mark.parametrize("name", ["bronze.transactions", "gold.fraud_decisions"])
def test_a_table_of_an_older_release_gets_what_is_in_force(name: str, tmp_path: Path) -> None:
    root, spec = str(tmp_path), table(name)
    path = ensure_table(NO_SPARK, root, spec)
    assert path == location(root, spec)
    DeltaTable(path).alter.set_table_properties({"delta.logRetentionDuration": "interval 30 days"})
    before = DeltaTable(path).version()
    ensure_table(NO_SPARK, root, spec)
    assert properties(spec).items() <= DeltaTable(path).metadata().configuration.items()
    assert DeltaTable(path).version() == before + 1
    ensure_table(NO_SPARK, root, spec)
    assert DeltaTable(path).version() == before + 1


def test_a_log_keeps_what_a_stream_may_still_have_to_read() -> None:
    for spec in delta_tables():
        kept = interval_micros(properties(spec)["delta.logRetentionDuration"].removeprefix("interval "))
        assert kept >= 2 * STILL_TO_READ.total_seconds() * 1_000_000


def test_statistics_are_kept_of_keys_positions_and_times() -> None:
    kept = {spec.full_name: properties(spec)["delta.dataSkippingStatsColumns"].split(",") for spec in delta_tables()}
    for spec in delta_tables():
        assert set(spec.key) - set(spec.partition_by) <= set(kept[spec.full_name]) <= set(spec.column_names)
        assert not set(spec.partition_by) & set(kept[spec.full_name]), "Delta has each file's value of these anyway"
    assert {"topic", "partition", "offset", "event_time", "customer_id"} <= set(kept["silver.transactions"])
    assert "value" not in kept["bronze.transactions"]

"""The table registry is whole: keys, lineage, types and owners, for every engine that derives from it."""

import json
from graphlib import TopologicalSorter

import pytest
from deltalake import Schema

from fraud_domain.contract import LEAKAGE_FIELDS, REFUSED_FIELDS
from fraud_domain.streams import STREAMS
from fraud_domain.tables import BATCH, TABLES, Store, TableSpec, delta_tables, location, postgres_tables, table
from fraud_domain.topics import TOPICS
from spark_jobs.schemas import spark_type, table_schema

EACH = pytest.mark.parametrize("spec", TABLES, ids=lambda spec: spec.full_name)
EACH_DELTA = pytest.mark.parametrize("spec", delta_tables(), ids=lambda spec: spec.full_name)


@EACH
def test_keys_and_partitions_are_columns(spec: TableSpec) -> None:
    assert spec.key
    assert set(spec.key) | set(spec.partition_by) <= set(spec.column_names)
    assert len(set(spec.column_names)) == len(spec.column_names)


@EACH
def test_key_columns_are_never_null(spec: TableSpec) -> None:
    assert [c.name for c in spec.columns if c.name in (*spec.key, *spec.partition_by) and c.nullable] == []


@EACH
def test_sources_exist(spec: TableSpec) -> None:
    known = {each.full_name for each in TABLES} | {f"kafka.{topic.name}" for topic in TOPICS}
    assert spec.upstream
    assert set(spec.upstream) <= known


@EACH
def test_table_and_columns_are_described_and_owned(spec: TableSpec) -> None:
    assert spec.description
    assert spec.owner.startswith("team:")
    assert [c.name for c in spec.columns if not c.description] == []
    assert spec.stream in {BATCH, *(stream.name for stream in STREAMS)}


@EACH
def test_no_table_has_room_for_secrets(spec: TableSpec) -> None:
    assert not set(spec.column_names) & REFUSED_FIELDS
    if spec.name != "labels":
        assert not set(spec.column_names) & LEAKAGE_FIELDS


def test_lineage_has_no_cycle_and_the_registry_goes_upstream_first() -> None:
    tuple(TopologicalSorter({spec.full_name: spec.upstream for spec in TABLES}).static_order())
    order = [spec.full_name for spec in delta_tables()]
    for spec in delta_tables():
        sources = [name for name in spec.upstream if name in order]
        assert all(order.index(name) < order.index(spec.full_name) for name in sources)


def test_names_are_unique_and_every_table_has_a_store() -> None:
    assert len({spec.full_name for spec in TABLES}) == len(TABLES)
    assert {*delta_tables(), *postgres_tables()} == set(TABLES)


@EACH_DELTA
def test_delta_and_spark_read_the_registry_alike(spec: TableSpec) -> None:
    assert spec.delta_schema == table_schema(spec).jsonValue()


@EACH_DELTA
def test_delta_accepts_every_type(spec: TableSpec) -> None:
    schema = Schema.from_json(json.dumps(spec.delta_schema))
    assert [f.name for f in schema.fields] == list(spec.column_names)


def test_unknown_names_say_what_is_known() -> None:
    with pytest.raises(KeyError, match=r"no table 'gold.nothing'; known: .*bronze.transactions"):
        table("gold.nothing")
    with pytest.raises(ValueError, match="unknown column type 'money'"):
        spark_type("money")


def test_tables_lie_below_the_root_of_the_lake() -> None:
    places = [location("s3a://bucket/lake", spec) for spec in TABLES if spec.store is Store.DELTA]
    assert len(set(places)) == len(places)
    assert places[0] == "s3a://bucket/lake/bronze/transactions"

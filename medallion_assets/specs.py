"""Registry entries as asset specs: key, lineage, schema, owner, kinds, freshness."""

from datetime import timedelta

import dagster as dg

from fraud_domain.settings import Settings
from fraud_domain.tables import BATCH, TABLES, Column, Store, TableSpec, location
from fraud_domain.topics import TopicSpec

_KINDS = {Store.DELTA: {"deltalake", "spark"}, Store.POSTGRES: {"postgres", "table"}}
_FRESH_AFTER_FAIL = 2


def asset_key(full_name: str) -> dg.AssetKey:
    """`layer.name` as an asset key."""
    return dg.AssetKey(full_name.split("."))


def topic_asset(topic: TopicSpec) -> dg.AssetSpec:
    """A Kafka topic as an external asset."""
    return dg.AssetSpec(
        key=dg.AssetKey(["kafka", topic.name]),
        deps=[dg.AssetKey(["kafka", name]) for name in topic.upstream],
        description=topic.description,
        group_name="kafka",
        owners=[topic.owner],
        kinds={"kafka"},
    )


def column_schema(columns: tuple[Column, ...]) -> dg.TableSchema:
    """Columns as Dagster shows them."""
    return dg.TableSchema(
        [
            dg.TableColumn(
                c.name, c.type, description=c.description, constraints=dg.TableColumnConstraints(nullable=c.nullable)
            )
            for c in columns
        ]
    )


def table_asset(spec: TableSpec, settings: Settings) -> dg.AssetSpec:
    """A table as an asset; one that a stream writes is external: Dagster observes it and never runs it."""
    policy = None
    if spec.fresh_within_minutes:
        warn = timedelta(minutes=spec.fresh_within_minutes)
        policy = dg.FreshnessPolicy.time_window(fail_window=warn * _FRESH_AFTER_FAIL, warn_window=warn)
    uri = location(settings.lake_root, spec) if spec.store is Store.DELTA else spec.full_name
    return dg.AssetSpec(
        key=asset_key(spec.full_name),
        deps=[asset_key(name) for name in spec.upstream],
        description=spec.description,
        group_name=spec.layer,
        owners=[spec.owner],
        kinds=_KINDS[spec.store],
        tags={"fraud/stream": spec.stream},
        freshness_policy=policy,
        metadata={
            "dagster/column_schema": column_schema(spec.columns),
            "dagster/table_name": spec.full_name,
            "dagster/uri": uri,
            "key": ", ".join(spec.key),
            "written by": "batch jobs" if spec.stream == BATCH else f"stream {spec.stream}",
        },
    )


def layer_assets(layer: str, settings: Settings) -> list[dg.AssetSpec]:
    """What streams write of one layer, in registry order."""
    return [table_asset(spec, settings) for spec in TABLES if spec.layer == layer and spec.stream != BATCH]

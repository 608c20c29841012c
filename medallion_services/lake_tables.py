"""Delta tables opened without a JVM: the one place where services open any."""

import json
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, Schema

from fraud_domain.object_store import delta_place
from fraud_domain.settings import Settings
from fraud_domain.tables import TableSpec


def open_table(settings: Settings, spec: TableSpec) -> DeltaTable | None:
    """A table as of now, in whatever store the lake is; None when nothing has been written yet."""
    place = delta_place(settings, spec)
    if not DeltaTable.is_deltatable(place.uri, place.options):
        return None
    return DeltaTable(place.uri, storage_options=place.options)


def rows_of(settings: Settings, spec: TableSpec) -> Any:
    """A table's rows as DuckDB can register them; none when nothing has been written yet."""
    opened = open_table(settings, spec)
    if opened is not None:
        return opened.to_pyarrow_dataset()
    return pa.schema(Schema.from_json(json.dumps(spec.delta_schema)).to_arrow()).empty_table()

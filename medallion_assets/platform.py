"""What assets, sensors and jobs need of the outside world, passed to them as one resource."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from deltalake import DeltaTable
from psycopg.rows import DictRow, dict_row

from fraud_domain.object_store import delta_place
from fraud_domain.settings import Settings
from fraud_domain.tables import TableSpec


@dataclass(frozen=True, slots=True)
class Platform:
    """The settings, and the connections made from them."""

    settings: Settings

    @contextmanager
    def database(self, role: str = "fraud_reader") -> Iterator[psycopg.Connection[DictRow]]:
        """A connection as one role, committed on success."""
        parameters: dict[str, Any] = self.settings.postgres_parameters(role)
        with psycopg.connect(**parameters, row_factory=dict_row, application_name="medallion-dagster") as connection:
            yield connection

    def delta(self, spec: TableSpec) -> DeltaTable | None:
        """A Delta table by its own reader, without a JVM; None when nothing has been written yet."""
        place = delta_place(self.settings, spec)
        if not DeltaTable.is_deltatable(place.uri, place.options):
            return None
        return DeltaTable(place.uri, storage_options=place.options)

"""Delta tables opened without a JVM: the one place where services open any."""

from deltalake import DeltaTable

from fraud_domain.object_store import delta_place
from fraud_domain.settings import Settings
from fraud_domain.tables import TableSpec


def open_table(settings: Settings, spec: TableSpec) -> DeltaTable | None:
    """A table as of now, in whatever store the lake is; None when nothing has been written yet."""
    place = delta_place(settings, spec)
    if not DeltaTable.is_deltatable(place.uri, place.options):
        return None
    return DeltaTable(place.uri, storage_options=place.options)

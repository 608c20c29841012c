"""A code location with the days of history alone, for tests of backfills."""

import dagster as dg

from fraud_domain.settings import Settings
from medallion_assets.defs.history import definitions as history
from medallion_assets.platform import Platform


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    settings = Settings()
    return dg.Definitions.merge(
        dg.Definitions(resources={"platform": Platform(settings)}), history.definitions(settings)
    )

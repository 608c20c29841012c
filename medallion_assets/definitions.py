"""The composition root of the code location: every room's definitions, with the platform they work on."""

import dagster as dg

from fraud_domain.settings import Settings
from fraud_domain.topics import TOPICS
from medallion_assets.defs.backtest import definitions as backtest
from medallion_assets.defs.history import definitions as history
from medallion_assets.defs.maintenance import definitions as maintenance
from medallion_assets.defs.operations import definitions as operations
from medallion_assets.defs.quality import definitions as quality
from medallion_assets.defs.streams import definitions as streams
from medallion_assets.platform import Platform
from medallion_assets.specs import layer_assets, topic_asset

LAYERS = ("bronze", "silver", "gold", "alerts", "mart")


def build_defs(settings: Settings) -> dg.Definitions:
    """All definitions for one configuration; needs no server, no secret and no Spark."""
    tables = [spec for layer in LAYERS for spec in layer_assets(layer, settings)]
    return dg.Definitions.merge(
        dg.Definitions(
            assets=[*(topic_asset(topic) for topic in TOPICS), *tables],
            resources={"platform": Platform(settings)},
        ),
        streams.definitions(settings),
        quality.definitions(settings),
        backtest.definitions(settings),
        history.definitions(settings),
        operations.definitions(),
        maintenance.definitions(),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    return build_defs(Settings())

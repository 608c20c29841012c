"""Days that late transactions touched after they were over: decided again, so that what they change is known.

A live decision is never revised (docs/adr/0005); the recomputed one stands beside it, and the check
`stream_equals_batch` lists each difference with its reason.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime

import dagster as dg
import duckdb
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from medallion_assets.defs.quality.lake_sql import lake_sql, rows
from medallion_assets.platform import Platform

_EVERY_SECONDS = 600
_TOUCHED = """
SELECT event_date, max(ingested_at) FROM silver.transactions
WHERE is_late AND ingested_at > ? AND event_date < ? GROUP BY event_date ORDER BY event_date
"""


def days_touched(lake: duckdb.DuckDBPyConnection, after: datetime, today: date) -> list[tuple[date, datetime]]:
    """Days before `today` for which late rows arrived after a moment, each with its newest arrival."""
    return [(day, newest) for day, newest in rows(lake, _TOUCHED, after, today)]


def late_days_sensor(
    job: UnresolvedAssetJobDefinition, pool: str, clock: Callable[[], datetime]
) -> dg.SensorDefinition:
    """Asks for a past day again when late rows arrived for it. Yesterday is asked for by its schedule as well.

    Its first tick also makes the pool of these runs known. Dagster limits a pool only from the second look at its queue
    on: a backfill of many days on a new platform would start them all, and leave no room for a stream's run.
    """

    @dg.sensor(
        name="recompute_late_days",
        job=job,
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Decides a day again after late transactions arrived for it",
    )
    def late_days(
        context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        storage = context.instance.event_log_storage
        # Only once: it would undo a limit that somebody has set.
        if pool not in storage.get_concurrency_keys():
            storage.initialize_concurrency_limit_to_default(pool)
        after = datetime.fromisoformat(context.cursor) if context.cursor else datetime(1970, 1, 1, tzinfo=UTC)
        with lake_sql(platform) as lake:
            touched = days_touched(lake, after, clock().date())
        if not touched:
            yield dg.SkipReason(f"no late row of a past day since {context.cursor or 'the beginning'}")
            return
        for day, newest in touched:
            yield dg.RunRequest(run_key=f"{day} {newest.isoformat()}", partition_key=str(day))
        context.update_cursor(max(newest for _, newest in touched).isoformat())

    return late_days

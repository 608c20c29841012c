"""Asset checks derived from the registries, and the jobs `data_quality` and `rule_coverage`."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg

from fraud_domain.rules import Catalogue, check_fixtures, load_catalogue
from fraud_domain.settings import Settings
from fraud_domain.tables import TableSpec, delta_tables
from medallion_assets.defs.quality.finding import Finding
from medallion_assets.defs.quality.invariants import INVARIANTS
from medallion_assets.defs.quality.lake_sql import lake_sql
from medallion_assets.defs.quality.rule_activity import Activity, activities
from medallion_assets.defs.quality.rule_coverage import (
    BUDGET_CHECK,
    check_name,
    coverage,
    reachable,
    typology_check_name,
    within_budget,
)
from medallion_assets.defs.quality.table_checks import LAKE_CHECKS, schema_matches
from medallion_assets.defs.quality.view import View, accepted_gaps
from medallion_assets.platform import Platform
from medallion_assets.specs import asset_key

SETTLE = timedelta(minutes=5)
"""How long a row may take to reach every table before a check misses it."""
SCHEMA_CHECK = "schema_matches"
ALERTS = asset_key("alerts.alerts")
_MAX_RUNTIME = {"dagster/max_runtime": "900", "dagster/max_retries": "0"}


def _spec(name: str, key: dg.AssetKey, description: str | None, blocking: bool = True) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(name, asset=key, description=description, blocking=blocking)


def table_check(spec: TableSpec) -> dg.AssetChecksDefinition:
    """All checks of one lake table that look at it alone."""
    key = asset_key(spec.full_name)
    specs = [_spec(SCHEMA_CHECK, key, schema_matches.__doc__)]
    specs += [_spec(name, key, check.__doc__) for name, check in LAKE_CHECKS.items()]

    @dg.multi_asset_check(name=f"{spec.layer}_{spec.name}_checks", specs=specs, can_subset=True)
    def checks(
        context: dg.AssetCheckExecutionContext, platform: dg.ResourceParam[Platform]
    ) -> Iterator[dg.AssetCheckResult]:
        with lake_sql(platform) as lake:
            found = {name: partial(check, lake, spec) for name, check in LAKE_CHECKS.items()}
            found[SCHEMA_CHECK] = partial(schema_matches, platform.delta(spec), spec)
            for selected in sorted(context.selected_asset_check_keys):
                yield found[selected.name]().result(key, selected.name)

    return checks


def invariant_check() -> dg.AssetChecksDefinition:
    """All checks between tables, on one view of the lake and the database."""
    specs = [_spec(name, asset_key(table), None) for table, invariants in INVARIANTS.items() for name in invariants]

    @dg.multi_asset_check(name="invariants", specs=specs, can_subset=True)
    def checks(
        context: dg.AssetCheckExecutionContext, platform: dg.ResourceParam[Platform]
    ) -> Iterator[dg.AssetCheckResult]:
        with lake_sql(platform) as lake, platform.database() as database:
            view = View(platform, lake, database, datetime.now(UTC) - SETTLE, accepted_gaps(database))
            for selected in sorted(context.selected_asset_check_keys):
                invariant = INVARIANTS[".".join(selected.asset_key.path)][selected.name]
                yield invariant(view).result(selected.asset_key, selected.name)

    return checks


def coverage_check(catalogue: Catalogue) -> dg.AssetChecksDefinition:
    """One check per rule and typology of the catalogue, and the budget, on the alerts."""
    specs = [_spec(check_name(rule.id), ALERTS, f"{rule.title}: {rule.id}") for rule in catalogue.rules]
    specs += [_spec(typology_check_name(t.id), ALERTS, f"{t.title} can raise an alert") for t in catalogue.typologies]
    specs.append(_spec(BUDGET_CHECK, ALERTS, within_budget.__doc__))

    @dg.multi_asset_check(name="rule_coverage_checks", specs=specs, can_subset=True)
    def checks(
        context: dg.AssetCheckExecutionContext, platform: dg.ResourceParam[Platform]
    ) -> Iterator[dg.AssetCheckResult]:
        rules = platform.settings.rules
        catalogue = load_catalogue(rules.directory)
        failures = check_fixtures(catalogue, rules)
        with lake_sql(platform) as lake:
            seen = activities(lake, catalogue.rules, datetime.now(UTC).date())
        with platform.database() as database:
            found = {BUDGET_CHECK: within_budget(database, rules)}
        found |= {check_name(r.id): coverage(r, failures, seen.get(r.id, Activity())) for r in catalogue.rules}
        found |= {typology_check_name(t.id): reachable(t, catalogue, rules) for t in catalogue.typologies}
        gone = Finding(False, "it left the catalogue; run `medallion rules publish`, or reload the code location")
        for selected in sorted(context.selected_asset_check_keys):
            yield found.get(selected.name, gone).result(ALERTS, selected.name)

    return checks


def definitions(settings: Settings) -> dg.Definitions:
    """Checks, the jobs that run them, and when."""
    tables = [table_check(spec) for spec in delta_tables()]
    invariants, rules = invariant_check(), coverage_check(load_catalogue(settings.rules.directory))
    # In one process: a process per step would spend five CPU seconds on imports for each of fifteen steps.
    quality = dg.define_asset_job(
        "data_quality",
        selection=dg.AssetSelection.checks(*tables, invariants),
        description="Every data-quality check; fails when one fails",
        executor_def=dg.in_process_executor,
        tags=_MAX_RUNTIME,
    )
    rule_job = dg.define_asset_job(
        "rule_coverage",
        selection=dg.AssetSelection.checks(rules),
        description="One coverage check per fraud rule and typology, and the alert budget",
        executor_def=dg.in_process_executor,
        tags=_MAX_RUNTIME,
    )
    return dg.Definitions(
        asset_checks=[*tables, invariants, rules],
        jobs=[quality, rule_job],
        schedules=[
            dg.ScheduleDefinition(
                name=f"{job.name}_every_30_minutes",
                job=job,
                cron_schedule="*/30 * * * *",
                default_status=dg.DefaultScheduleStatus.RUNNING,
            )
            for job in (quality, rule_job)
        ],
    )

"""The one invariant checker: every fault is followed by it, and the asset checks use the same functions.

What the product checks of itself comes from the registry of asset checks. Added is what only a test can know: which
messages the broker acknowledged, and which alerts the reference evaluator demands for them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from confluent_kafka import Consumer, TopicPartition

from fraud_domain.rules import alert_id
from fraud_domain.settings import Settings
from fraud_domain.tables import delta_tables, table
from medallion_assets.defs.quality.finding import Finding
from medallion_assets.defs.quality.invariants import INVARIANTS
from medallion_assets.defs.quality.lake_sql import lake_sql, rows, scalar
from medallion_assets.defs.quality.table_checks import LAKE_CHECKS, schema_matches
from medallion_assets.defs.quality.view import View
from medallion_assets.platform import Platform
from medallion_assets_tests.faults.traffic import Traffic
from medallion_assets_tests.pipeline import Decided, expected_decisions

_SHOWN = 3
_NOT_ABOUT_LOSS = {"share_within_limit"}
Check = Callable[[], Finding]


@dataclass(frozen=True, slots=True)
class Truth:
    """What must come out of the messages that the topics hold now."""

    traffic: Traffic
    decisions: Decided
    ends: dict[str, int]
    """Messages by topic of bronze; the harness never lets retention take one unless that is the fault."""


def truth(settings: Settings, traffic: Traffic) -> Truth:
    """Read the topics and ask the reference evaluator."""
    return Truth(traffic, expected_decisions(settings), end_offsets(settings))


def bronze_topics() -> dict[str, str]:
    """Topic by bronze table."""
    specs = [spec for spec in delta_tables() if spec.layer == "bronze"]
    return {spec.full_name: spec.topic for spec in specs}


def end_offsets(settings: Settings) -> dict[str, int]:
    """Sum of the end offsets of each topic that bronze reads."""
    consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": "faults"})
    try:
        return {
            topic: sum(
                consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)[1]
                for partition in range(settings.kafka.partitions)
            )
            for topic in bronze_topics().values()
        }
    finally:
        consumer.close()


def checks(settings: Settings, known: Truth) -> Iterator[tuple[str, Finding]]:
    """Every check by name, the ones that tell soonest that something is still under way first."""
    platform = Platform(settings)
    with lake_sql(platform) as lake, platform.database() as database:
        view = View(platform, lake, database, datetime.now(UTC) + timedelta(hours=1))
        named: dict[str, Check] = {
            "bronze_is_kafka": partial(bronze_is_kafka, view, known),
            "acknowledged_is_in_silver": partial(acknowledged_is_in_silver, view, known),
            "decisions_as_demanded": partial(decisions_as_demanded, view, known),
            "alerts_as_demanded": partial(alerts_as_demanded, view, known),
        }
        for name, invariants in INVARIANTS.items():
            for check, invariant in invariants.items():
                if check not in _NOT_ABOUT_LOSS:
                    named[f"{name}: {check}"] = partial(invariant, view)
        for spec in delta_tables():
            named[f"{spec.full_name}: schema"] = partial(schema_matches, platform.delta(spec), spec)
            for check, lake_check in LAKE_CHECKS.items():
                named[f"{spec.full_name}: {check}"] = partial(lake_check, lake, spec)
        for name, ask in named.items():
            yield name, ask()


def bronze_is_kafka(view: View, known: Truth) -> Finding:
    """Bronze holds exactly as many messages as the topics."""
    held = {
        topic: scalar(view.lake, f"SELECT count(*) FROM {name}")  # noqa: S608 - names of the registry
        for name, topic in bronze_topics().items()
    }
    if lost := {topic: sent for topic, sent in known.traffic.acked.items() if known.ends[topic] < sent}:
        return Finding(False, f"the broker acknowledged {lost} and holds {known.ends}")
    # The decision log grows by itself; what must be in it is known from the decisions.
    wrong = {topic: (held[topic], known.ends[topic]) for topic in known.traffic.acked}
    wrong = {topic: pair for topic, pair in wrong.items() if pair[0] != pair[1]}
    return Finding(not wrong, f"bronze and end offset differ: {wrong}" if wrong else f"{held}")


def acknowledged_is_in_silver(view: View, known: Truth) -> Finding:
    """Every transaction that was acknowledged and meets the contract is in silver, once."""
    silver = [row[0] for row in rows(view.lake, "SELECT transaction_id FROM silver.transactions")]
    missing = sorted(known.traffic.transaction_ids - set(silver))
    twice = len(silver) - len(set(silver))
    text = f"{len(silver)} transactions in silver; {len(missing)} acknowledged are missing, {twice} are there twice"
    return Finding(not missing and not twice, f"{text} {missing[:_SHOWN]}")


def decisions_as_demanded(view: View, known: Truth) -> Finding:
    """gold.fraud_decisions holds each demanded decision once."""
    query = "SELECT subject_kind, transaction_id FROM gold.fraud_decisions"
    return _same("decisions", view, known, [(r[0], r[1]) for r in rows(view.lake, query)])


def _same(what: str, view: View, known: Truth, found: list[tuple[str, str]]) -> Finding:
    exact = _is_ordered(view)
    have = [each for each in found if exact or each[0] == "customer"]
    want = {each for each in known.decisions if exact or each[0] == "customer"}
    lost, strange = sorted(want - set(have)), sorted(set(have) - want)
    doubled = len(have) - len(set(have))
    text = f"{len(have)} {what}: lost {len(lost)}, doubled {doubled}, not demanded {len(strange)}"
    return Finding(not lost and not strange and not doubled, f"{text} {(lost + strange)[:_SHOWN]}")


def alerts_as_demanded(view: View, known: Truth) -> Finding:
    """The alerts in PostgreSQL are those of the reference evaluator: none lost, none doubled, none else.

    With several partitions, what trips a rule about a merchant or device depends on the order of arrival between them,
    and the evaluator takes one partition after the other. Then those it names must be named for the same typologies,
    but for terminals; how many more are named is told.
    """
    raised = [d for d in known.decisions.values() if d.alert]
    stored = view.database.execute("SELECT alert_id, subject_kind, subject, typology FROM fraud.alerts").fetchall()
    exact = _is_ordered(view)
    want = {alert_id(d) for d in raised if exact or d.subject_kind.value == "customer"}
    have = [row["alert_id"] for row in stored if exact or row["subject_kind"] == "customer"]
    lost, strange = sorted(want - set(have)), sorted(set(have) - want)
    doubled = len(have) - len(set(have))
    text = f"{len(have)} alerts: lost {len(lost)}, doubled {doubled}, not demanded {len(strange)}"
    if not exact and not lost and not strange:
        others = {(d.subject_kind.value, d.subject, d.typology) for d in raised if d.subject_kind.value != "customer"}
        named = {(r["subject_kind"], r["subject"], r["typology"]) for r in stored if r["subject_kind"] != "customer"}
        lost = [str(each) for each in others - named if each[0] != "terminal"]
        text += f"; about others lost {len(lost)}, raised by another order of arrival {len(named - others)}"
    return Finding(not lost and not strange and not doubled, f"{text} {(lost + strange)[:_SHOWN]}")


def _is_ordered(view: View) -> bool:
    """Whether all transactions are in one partition, so that every subject meets them in one order."""
    return view.platform.settings.kafka.partitions == 1


def counts(settings: Settings) -> dict[str, int]:
    """Rows of the main tables, for the history file."""
    platform = Platform(settings)
    names = ("bronze.transactions", "silver.transactions", "silver.quarantine", "gold.fraud_decisions")
    with lake_sql(platform) as lake, platform.database() as database:
        found = {
            table(name).full_name: scalar(lake, f"SELECT count(*) FROM {name}")  # noqa: S608 - names from above
            for name in names
        }
        row = database.execute("SELECT count(*) AS n FROM fraud.alerts").fetchone()
    return found | {"fraud.alerts": row["n"] if row else -1}

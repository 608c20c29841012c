"""Live decisions against those made again from silver: every difference with its reason."""

from dataclasses import dataclass
from datetime import date, datetime

import duckdb
import psycopg
from psycopg.rows import DictRow

from medallion_assets.defs.quality.finding import Finding
from medallion_assets.defs.quality.lake_sql import rows

UNEXPLAINED = "unexplained"
_SHOWN = 5
_COMPARED = ("score", "level", "typology", "alert", "reasons", "shadow", "abstained")

# The order of the reasons is the order of the WHENs: the first that holds is told.
_DIFFERENCES = f"""
WITH live AS (SELECT * FROM gold.fraud_decisions WHERE event_date = $day),
     again AS (SELECT * FROM gold.recomputed_decisions WHERE event_date = $day),
     pairs AS (
        SELECT coalesce(l.subject_kind, a.subject_kind) AS subject_kind,
               coalesce(l.transaction_id, a.transaction_id) AS transaction_id,
               coalesce(l.customer_id, a.customer_id) AS customer_id,
               coalesce(l.event_time, a.event_time) AS event_time,
               coalesce(l.kafka_timestamp, a.kafka_timestamp) AS kafka_timestamp,
               coalesce(l.topic, a.topic) AS topic,
               l.transaction_id IS NULL AS not_live, a.transaction_id IS NULL AS not_again,
               l.rule_set_version AS live_rules, a.rule_set_version AS again_rules
        FROM live l FULL JOIN again a USING (transaction_id, subject_kind)
        WHERE l.transaction_id IS NULL OR a.transaction_id IS NULL
           OR {" OR ".join(f"l.{name} IS DISTINCT FROM a.{name}" for name in _COMPARED)}
     )
SELECT CASE
    WHEN not_live AND topic <> 'transactions' THEN 'loaded from files: the stream never saw it'
    WHEN live_rules <> again_rules THEN 'another rule set'
    WHEN subject_kind <> 'customer' THEN 'order of arrival between partitions'
    WHEN EXISTS (
        SELECT 1 FROM silver.transactions t
        WHERE t.customer_id = p.customer_id AND starts_with(t.topic, 'history:') AND t.ingested_at > $began
    ) THEN 'history was loaded after the alert lane began'
    WHEN EXISTS (
        SELECT 1 FROM silver.account_events e
        WHERE e.customer_id = p.customer_id AND e.event_time <= p.event_time AND e.kafka_timestamp > p.kafka_timestamp
    ) THEN 'an account event came late'
    WHEN not_live THEN '{UNEXPLAINED}: no live decision'
    WHEN not_again THEN '{UNEXPLAINED}: not in silver'
    ELSE '{UNEXPLAINED}: same input, other decision' END AS why,
    count(*) AS number, list(transaction_id ORDER BY transaction_id)[:{_SHOWN}] AS examples
FROM pairs p GROUP BY 1 ORDER BY 1
"""  # noqa: S608 - names from the tuple above


_BEGAN = """
SELECT committed_at FROM fraud.batch_ledger
WHERE stream = 'alerts.decide' AND generation = (
    SELECT generation FROM fraud.batch_ledger WHERE stream = 'alerts.decide' ORDER BY committed_at DESC LIMIT 1
) ORDER BY batch_id LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """How many decisions differ for one reason, with a few transaction ids."""

    why: str
    number: int
    examples: tuple[str, ...]

    @property
    def explained(self) -> bool:
        """Whether the reason is a known one."""
        return not self.why.startswith(UNEXPLAINED)


def lane_began(database: psycopg.Connection[DictRow]) -> datetime | None:
    """When the alert lane began the histories that it has now; None when it never did."""
    row = database.execute(_BEGAN).fetchone()
    return row["committed_at"] if row else None


def differences(lake: duckdb.DuckDBPyConnection, day: date, began: datetime | None) -> list[Difference]:
    """What differs between the live and the recomputed decisions of a day.

    Args:
        began: as by `lane_began`. What was loaded from files later is not in the histories of the live decisions.
    """
    found = lake.execute(_DIFFERENCES, {"day": day, "began": began}).fetchall()
    return [Difference(why, number, tuple(examples)) for why, number, examples in found]


def reconciled(lake: duckdb.DuckDBPyConnection, day: date, began: datetime | None) -> Finding:
    """Every live decision of the day is the one that the batch makes, or the difference has a known reason."""
    found = differences(lake, day, began)
    decided = int(rows(lake, "SELECT count(*) FROM gold.recomputed_decisions WHERE event_date = ?", day)[0][0])
    figures = {"decisions": decided, **{each.why: each.number for each in found}}
    wrong = [each for each in found if not each.explained]
    if wrong:
        told = "; ".join(f"{each.number} {each.why}, such as {', '.join(each.examples)}" for each in wrong)
        return Finding(False, f"{day}: {told}", figures)
    explained = ", ".join(f"{each.number} {each.why}" for each in found) or "no difference"
    return Finding(True, f"{day}: {decided} decisions made again: {explained}", figures)

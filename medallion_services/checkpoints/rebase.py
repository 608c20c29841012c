"""Where a new generation begins and what it must not write again: computed from the tables alone.

So it does not matter how much of the old checkpoint is left. The new generation reads again what its state needs
(duplicates of the last 24 hours, histories of customers) and writes only what is not there yet.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb

from fraud_domain.intervals import interval_micros
from fraud_domain.settings import Settings
from fraud_domain.tables import TableSpec, table
from medallion_services.errors import UserError
from medallion_services.lake_tables import open_table

OTHERS_MARGIN = timedelta(minutes=10)
"""Decisions about others are logged only where a rule hit, so the last one says roughly how far they were judged;
what is logged again within the margin is folded by gold, which knows a decision for 24 hours."""
_KNOWN = """
SELECT topic, partition, max("offset") AS "offset", max(ingested_at) AS at FROM (
    SELECT topic, partition, "offset", ingested_at FROM rows
    UNION ALL SELECT topic, partition, "offset", ingested_at FROM quarantine
) WHERE topic = $topic GROUP BY ALL
"""
_DECIDED = """
SELECT s.topic, s.partition,
       coalesce(min(s."offset") FILTER (d.transaction_id IS NULL) - 1, max(s."offset")) AS "offset"
FROM rows s LEFT JOIN (SELECT transaction_id FROM decisions WHERE subject_kind = 'customer') d USING (transaction_id)
WHERE s.topic = 'transactions' GROUP BY ALL
"""
_OTHERS_DECIDED = """
SELECT s.topic, s.partition, max(s."offset") AS "offset" FROM rows s
WHERE s.topic = 'transactions' AND s.ingested_at <= (
    SELECT max(r.ingested_at) FROM rows r JOIN decisions d USING (transaction_id) WHERE d.subject_kind <> 'customer'
) - $margin GROUP BY ALL
"""

_LOGGED = 'SELECT topic, partition, max("offset") FROM rows GROUP BY ALL'

Offsets = dict[str, dict[str, int]]
"""By topic and partition."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a new generation needs to know.

    Args:
        known_to: rows at or below these offsets may be in the tables already.
        since: rows of the source table that were ingested before are left out; None means all that is in the source.
    """

    query: str
    known_to: Offsets
    since: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """As `fraud.checkpoint_rebases` keeps it."""
        return {"known_to": self.known_to, "since": self.since.isoformat() if self.since else None}

    def in_words(self) -> str:
        """For the operator."""
        begin = "the start of its source" if self.since is None else f"{self.since:%Y-%m-%d %H:%M} UTC on"
        known = ", ".join(f"{t}/{p} {o}" for t, each in self.known_to.items() for p, o in sorted(each.items()))
        return f"the next start reads from {begin} and writes only what is missing (known up to: {known or 'nothing'})"


def plan_for(settings: Settings, query: str) -> Plan:
    """The plan of a query of silver, of gold's decisions or of the alert lane."""
    if query.startswith("silver."):
        return _silver(settings, query)
    if query == "gold.decisions":
        return Plan(query, _offsets(_rows(settings, {"rows": table("gold.fraud_decisions")}, _LOGGED, {})))
    return _alerts(settings, query)


def _silver(settings: Settings, query: str) -> Plan:
    spec = table(query)
    topic = table(f"bronze.{spec.name}").topic
    found = _rows(settings, {"rows": spec, "quarantine": table("silver.quarantine")}, _KNOWN, {"topic": topic})
    horizon = timedelta(microseconds=interval_micros(settings.streams.deduplicate_within))
    last = max((at for *_, at in found), default=None)
    return Plan(query, _offsets(found), None if last is None else last - horizon)


def _alerts(settings: Settings, query: str) -> Plan:
    tables = {"rows": table("silver.transactions"), "decisions": table("gold.fraud_decisions")}
    if query == "alerts.decide":
        return Plan(query, _offsets(_rows(settings, tables, _DECIDED, {})))
    return Plan(query, _offsets(_rows(settings, tables, _OTHERS_DECIDED, {"margin": OTHERS_MARGIN})))


def _rows(settings: Settings, tables: dict[str, TableSpec], query: str, values: dict[str, Any]) -> list[Any]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, spec in tables.items():
            opened = open_table(settings, spec)
            if opened is None:
                raise UserError(f"there is no {spec.full_name} in {settings.lake_root} that could say what is known")
            connection.register(name, opened.to_pyarrow_dataset())
        return connection.execute(query, values).fetchall()


def _offsets(found: list[Any]) -> Offsets:
    offsets: Offsets = {}
    for topic, partition, offset, *_ in found:
        offsets.setdefault(topic, {})[str(partition)] = offset
    return offsets

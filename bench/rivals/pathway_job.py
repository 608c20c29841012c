"""The two rules in Pathway; runs in an environment of its own, with a file that says where everything is.

What is read and how far is persisted, and read again after a restart; alerts are written by key, so that what is
written twice is there once. An event counts those before it by a join with the ten minutes up to it. Nothing is ever
forgotten: a limit on lateness would be counted from the newest event of all partitions, and a backlog of one partition
would be late by the other.
"""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pathway as pw  # type: ignore[import-not-found]  # only its own environment has it

_COMMIT_MS, _SNAPSHOT_MS, _MOST = 10, 10_000, 5_000


def main(job: dict[str, Any]) -> None:
    """Run until it is ended."""
    names = ("transaction_id", "customer_id", "event_time", "channel")
    messages = pw.io.kafka.read(
        {"bootstrap.servers": job["bootstrap"], "group.id": job["group"], "auto.offset.reset": "earliest"}
        | {"fetch.wait.max.ms": str(_COMMIT_MS)},
        job["topic"],
        schema=pw.schema_from_types(**dict.fromkeys(names, str), amount=float),
        format="json",
        autocommit_duration_ms=_COMMIT_MS,
        max_backlog_size=_MOST,
        with_metadata=True,
        name="transactions",
    )
    events = messages.select(
        pw.this.transaction_id,
        pw.this.customer_id,
        pw.this.amount,
        pw.this.channel,
        at=pw.this.event_time.dt.strptime("%Y-%m-%dT%H:%M:%S.%f%z"),
        sent_ms=pw.this._metadata["timestamp_millis"].as_int(),
    )
    large = events.filter((pw.this.channel == job["channel"]) & (pw.this.amount > job["amount"]))
    before = events.copy()
    # The bounds belong to the interval, and a payment exactly ten minutes ago does not count.
    window = pw.temporal.interval(timedelta(microseconds=1) - timedelta(minutes=job["minutes"]), timedelta())
    many = (
        events.interval_join(before, events.at, before.at, window, events.customer_id == before.customer_id)
        .select(events.transaction_id, events.sent_ms)
        .groupby(pw.this.transaction_id, pw.this.sent_ms)
        .reduce(pw.this.transaction_id, pw.this.sent_ms, payments=pw.reducers.count())
        .filter(pw.this.payments >= job["many"])
    )
    alerts = pw.Table.concat_reindex(
        large.select(pw.this.transaction_id, pw.this.sent_ms, rule="large"),
        many.select(pw.this.transaction_id, pw.this.sent_ms, rule="many"),
    )
    pw.io.postgres.write(
        alerts,
        job["postgres"],
        "pathway_alerts",
        schema_name="bench",
        output_table_type="snapshot",
        primary_key=[alerts.transaction_id, alerts.rule],
    )
    backend = pw.persistence.Backend.filesystem(job["state"])
    pw.run(
        monitoring_level=pw.MonitoringLevel.NONE,
        persistence_config=pw.persistence.Config(backend, snapshot_interval_ms=_SNAPSHOT_MS),
    )


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))

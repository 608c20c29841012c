"""The two rules in Flink SQL; runs in an environment of its own, with a file that says where everything is.

A cluster in this one process, two ways parallel, with a checkpoint every ten seconds from which the next start goes
on. Alerts are written by key, at least once. An event is counted when every partition has got past its time, which is
how Flink gets the order right; what is then still to come is ignored.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pyflink.common import Configuration  # type: ignore[import-not-found]  # only its own environment has it
from pyflink.table import EnvironmentSettings, TableEnvironment  # type: ignore[import-not-found]  # the same

_SOURCE = """
CREATE TABLE payments (
    transaction_id STRING, customer_id STRING, event_time STRING, channel STRING, amount DOUBLE,
    sent TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
    happened AS TO_TIMESTAMP(SUBSTRING(event_time FROM 1 FOR 23), 'yyyy-MM-dd''T''HH:mm:ss.SSS'),
    WATERMARK FOR happened AS happened - INTERVAL '0.001' SECOND
) WITH (
    'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{bootstrap}',
    'properties.group.id' = 'flink', 'properties.fetch.max.wait.ms' = '10', 'scan.startup.mode' = 'earliest-offset',
    'format' = 'json', 'json.ignore-parse-errors' = 'true'
)
"""
_SINK = """
CREATE TABLE alerts (
    transaction_id STRING, rule STRING, sent TIMESTAMP(3), PRIMARY KEY (transaction_id, rule) NOT ENFORCED
) WITH (
    'connector' = 'jdbc', 'url' = 'jdbc:postgresql://{host}:{port}/{dbname}', 'table-name' = 'bench.flink_alerts',
    'username' = '{user}', 'password' = '{password}',
    'sink.buffer-flush.interval' = '10 ms', 'sink.buffer-flush.max-rows' = '500'
)
"""
_RULES = """
INSERT INTO alerts
SELECT transaction_id, 'large', CAST(sent AS TIMESTAMP(3)) FROM payments
WHERE channel = '{channel}' AND amount > {amount}
UNION ALL
SELECT transaction_id, 'many', CAST(sent AS TIMESTAMP(3)) FROM (
    SELECT transaction_id, sent, COUNT(*) OVER (
        PARTITION BY customer_id ORDER BY happened
        RANGE BETWEEN INTERVAL '{minutes}' MINUTE PRECEDING AND CURRENT ROW
    ) AS payments
    FROM payments
) WHERE payments >= {many}
"""
_OPTIONS = {
    "parallelism.default": "2",
    "execution.checkpointing.interval": "10 s",
    "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
    "execution.buffer-timeout.interval": "5 ms",
    "pipeline.auto-watermark-interval": "10 ms",
    "table.exec.source.idle-timeout": "1 s",
    "table.exec.sink.require-on-conflict": "false",
    "table.exec.sink.upsert-materialize": "NONE",
    "table.local-time-zone": "UTC",
}


def last_checkpoint(directory: Path) -> Path | None:
    """The newest one that was completed."""
    complete = [path.parent for path in directory.glob("*/chk-*/_metadata")]
    return max(complete, key=lambda path: path.stat().st_mtime, default=None)


def main(job: dict[str, Any]) -> None:
    """Run until it is ended."""
    checkpoints = Path(job["state"])
    options = Configuration()
    for name, value in _OPTIONS.items():
        options.set_string(name, value)
    options.set_string("execution.checkpointing.dir", checkpoints.as_uri())
    options.set_string("pipeline.jars", ";".join(Path(jar).as_uri() for jar in job["jars"]))
    if found := last_checkpoint(checkpoints):
        options.set_string("execution.state-recovery.path", found.as_uri())
    tables = TableEnvironment.create(
        EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(options).build()
    )
    tables.execute_sql(_SOURCE.format(**job))
    tables.execute_sql(_SINK.format(**job["postgres"]))
    tables.execute_sql(_RULES.format(**job)).wait()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))

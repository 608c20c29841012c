"""Events of a backtest from silver, read without a JVM."""

from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from fraud_domain.settings import Settings
from fraud_domain.tables import table
from medallion_services.backtest.events import FIELDS, SCHEMA
from medallion_services.backtest.ingest import TRUTH_SCHEMA
from medallion_services.errors import UserError
from medallion_services.lake_tables import open_table
from medallion_services.mapping.streaming import stream

_BATCH = 16_384


def read_lake(settings: Settings, events: Path, truth: Path, since_us: int, until_us: int, scratch: Path) -> int:
    """Write transactions of `[since_us, until_us)` and all labels to Parquet; returns the rows read.

    Raises:
        UserError: silver has no transactions yet.
    """
    transactions = open_table(settings, table("silver.transactions"))
    if transactions is None:
        raise UserError(f"there are no transactions in {settings.lake_root} yet; `medallion up` fills it")
    with duckdb.connect(config={"threads": 2, "memory_limit": "256MB", "temp_directory": str(scratch)}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("silver", transactions.to_pyarrow_dataset())
        special = {"event_time": "epoch_us(event_time)", "amount": "CAST(amount AS VARCHAR)"}
        columns = ", ".join(f"{special.get(name, name)} AS {name}" for name in FIELDS)
        query = (
            f"SELECT {columns}, NULL AS _fraud, NULL AS _fraud_type, NULL AS _line FROM silver "  # noqa: S608
            "WHERE event_time >= make_timestamptz($since) AND event_time < make_timestamptz($until)"
        )
        rows = 0
        with pq.ParquetWriter(events, SCHEMA, compression="lz4") as writer:
            for batch in stream(connection, query, {"since": since_us, "until": until_us}, _BATCH):
                rows += batch.num_rows
                writer.write_batch(batch.cast(SCHEMA))
        _labels(settings, connection, truth)
        return rows


def _labels(settings: Settings, connection: duckdb.DuckDBPyConnection, truth: Path) -> None:
    labels = open_table(settings, table("silver.labels"))
    with pq.ParquetWriter(truth, TRUTH_SCHEMA, compression="lz4") as writer:
        if labels is None:
            return
        connection.register("labels", labels.to_pyarrow_dataset())
        # A correction is a new label: the last word counts.
        query = (
            "SELECT transaction_id, arg_max(label, label_time) = 'fraud' AS fraud, "
            "arg_max(fraud_type, label_time) AS fraud_type FROM labels GROUP BY transaction_id"
        )
        for batch in stream(connection, query, rows=_BATCH):
            writer.write_batch(batch.cast(TRUTH_SCHEMA))

"""How many alerts a second the alert sink takes, beside rows by `executemany`: `python -m bench.sink`.

100,000 alerts in batches of ten thousand into the real table with all its indexes and triggers, ledger and outbox
included, then the same batches once more, as after a crash: the ledger has them. The plain way writes as many
rows into a copy of the table, by an upsert a row, pipelined, and has neither ledger nor outbox. Last, the sink without
the indexes that the desk's views need, with the key and two others; and the same when nobody is to be told, so that the
outbox stays empty. CPU is this process's.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg

from fraud_domain.micro_batch import Batch
from fraud_domain.settings import PROJECT_ROOT
from medallion_services.database.prepare import admin_parameters
from medallion_services.embedded.throwaway import own_database
from spark_jobs.alert_sink import ALERT_COLUMNS, open_sink
from spark_jobs.lease import Lease

RESULT = PROJECT_ROOT / "bench" / "results" / "sink.json"
ALERTS, BATCH = 100_000, 10_000
_TABLE = "CREATE TABLE fraud.plain_alerts (LIKE fraud.alerts INCLUDING DEFAULTS INCLUDING INDEXES)"
_NAMES = ", ".join(f'"{name}"' for name in ALERT_COLUMNS)
_UPSERT = (
    f"INSERT INTO fraud.plain_alerts ({_NAMES}) VALUES ({', '.join(['%s'] * len(ALERT_COLUMNS))})"  # noqa: S608 - of ours
    " ON CONFLICT (alert_id) DO UPDATE SET score = excluded.score"
)

_OTHER_INDEXES = (
    "SELECT format('DROP INDEX %I.%I', schemaname, indexname) FROM pg_indexes WHERE schemaname = 'fraud'"
    " AND tablename = 'alerts' AND indexname NOT IN ('alerts_pkey', 'alerts_detected', 'alerts_case')"
)


def alert(number: int) -> dict[str, Any]:
    """An alert with one reason, about one of 20,000 customers."""
    moment = datetime.fromtimestamp(1_767_225_600 + number / 10, UTC).isoformat()
    return {
        "alert_id": f"{number:032x}", "subject_kind": "customer", "subject": f"c-{number % 20_000}",
        "transaction_id": f"t-{number}", "customer_id": f"c-{number % 20_000}", "card_token": None,
        "card_last4": "1234", "merchant_id": f"m-{number % 500}", "event_time": moment, "amount": "812.40",
        "currency": "BRL", "type": "PIX", "channel": "MOBILE_APP", "score": 63.5, "level": "medium",
        "typology": "pix_scam", "rule_set_version": "v", "topic": "transactions", "partition": 0, "offset": number,
        "kafka_timestamp": moment,
        "reasons": '[{"rule_id": "PIX-1", "text": "4 payments to new keys in 1 h, limit 3", "contribution": 63.5}]',
    }  # fmt: skip


def measured(write: Callable[[list[dict[str, Any]]], int], batches: list[list[dict[str, Any]]]) -> dict[str, float]:
    """Rows a second of wall and of this process's CPU."""
    started, cpu = time.monotonic(), time.process_time()
    written = sum(write(batch) for batch in batches)
    wall, used = time.monotonic() - started, time.process_time() - cpu
    return {"written": written, "rows_per_second": round(ALERTS / wall), "rows_per_cpu_second": round(ALERTS / used)}


def batches_of(first: int) -> list[list[dict[str, Any]]]:
    """All batches, the first alert having that number."""
    made = [alert(number) for number in range(first, first + ALERTS)]
    return [made[start : start + BATCH] for start in range(0, ALERTS, BATCH)]


def main() -> int:
    """Each way once; prints and keeps the figures."""
    batches = batches_of(0)
    load = os.getloadavg()[0]
    with own_database() as settings:
        writer = settings.postgres_parameters("fraud_writer")
        admin = admin_parameters(settings, settings.postgres.database)
        with Lease(writer, ("alerts",), "bench") as lease, psycopg.connect(**admin, autocommit=True) as connection:
            sink = open_sink(writer, "alerts", lease.epochs["alerts"])

            def ours(batch: list[dict[str, Any]]) -> int:
                return sink.commit(Batch("alerts", "bench", batch[0]["offset"]), batch)

            def plain(batch: list[dict[str, Any]]) -> int:
                with connection.transaction():
                    values = [tuple(each[name] for name in ALERT_COLUMNS) for each in batch]
                    connection.cursor().executemany(_UPSERT, values)
                return len(batch)

            connection.execute(_TABLE)
            found = {"sink": measured(ours, batches), "again": measured(ours, batches)}
            found["executemany"] = measured(plain, batches)
            for (drop,) in connection.execute(_OTHER_INDEXES).fetchall():
                connection.execute(drop)
            found["sink_two_indexes"] = measured(ours, batches_of(ALERTS))
            connection.execute("UPDATE fraud.notification_route SET enabled = false")
            found["sink_two_indexes_nobody_told"] = measured(ours, batches_of(2 * ALERTS))
            sink.pool.close()
    document = {"cpus": os.cpu_count(), "load_average": round(load, 1), "alerts": ALERTS, "batch": BATCH} | found
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(document) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

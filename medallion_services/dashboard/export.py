"""The queue as CSV, streamed page by page; cells that a spreadsheet would run as a formula are defused."""

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from medallion_services.dashboard.database import Database
from medallion_services.dashboard.queue import MAX_PAGE, Page, Wanted, page

COLUMNS = (
    "alert_id", "transaction_id", "customer_id", "card_last4", "merchant_id", "subject_kind", "subject", "event_time",
    "detected_at", "amount", "currency", "type", "channel", "score", "level", "typology", "status", "disposition",
    "assigned_to", "case_id", "first_reason",
)  # fmt: skip
MAX_ROWS = 100_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")


def cell(value: Any) -> str:
    """A value as text; one that begins like a formula gets an apostrophe before it (OWASP, CSV injection)."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal | int | float):
        return str(value)
    text = str(value).replace("\x00", "")
    return "'" + text if text.lstrip(" ").startswith(_FORMULA) or text.startswith(_FORMULA) else text


def _lines(found: Page) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerows([cell(row[name]) for name in COLUMNS] for row in found.rows)
    return buffer.getvalue()


async def stream(database: Database, wanted: Wanted, me: str, first: Page) -> AsyncIterator[str]:
    """Lines of the file, up to `MAX_ROWS`; `first` is the first page, read before the answer began."""
    yield ",".join(COLUMNS) + "\r\n"
    written, found = 0, first
    while True:
        yield _lines(found)
        written += len(found.rows)
        if not found.next_cursor or written >= MAX_ROWS:
            return
        found = await page(database, replace(wanted, cursor=found.next_cursor, limit=MAX_PAGE), me)

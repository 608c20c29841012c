"""The analysts' queue as SQL: filters, orders, pages. Every combination is served by an index of migration 0003."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, LiteralString

from psycopg import sql

from medallion_services.dashboard import keyset
from medallion_services.dashboard.database import Database, Row
from medallion_services.dashboard.problems import Problem

MAX_PAGE = 200
COUNTED_UP_TO = 1_000


class View(StrEnum):
    """Which alerts."""

    OPEN = "open"
    MINE = "mine"
    NEW = "new"
    IN_REVIEW = "in_review"
    ESCALATED = "escalated"
    WAITING_CUSTOMER = "waiting_customer"
    SNOOZED = "snoozed"
    CLOSED = "closed"
    ALL = "all"


class Sort(StrEnum):
    """In which order."""

    SCORE = "score"
    NEWEST = "newest"
    OLDEST = "oldest"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Order:
    """A total order: a column, then the alert's id; the type of the column reads cursors."""

    column: LiteralString
    kind: type
    descending: bool = True


ORDERS: dict[Sort, Order] = {
    Sort.SCORE: Order("score", float),
    Sort.NEWEST: Order("detected_at", datetime),
    Sort.OLDEST: Order("detected_at", datetime, descending=False),
    Sort.VALUE: Order("amount", Decimal),
}
BY_TIME_ONLY = frozenset({View.CLOSED, View.ALL})
"""Views without an index by score or value: they hold everything that ever was."""

_OPEN: LiteralString = "status <> 'closed'"
_AWAKE: LiteralString = "(snoozed_until IS NULL OR snoozed_until < now())"
VIEWS: dict[View, LiteralString] = {
    View.OPEN: f"{_OPEN} AND {_AWAKE}",
    View.MINE: f"{_OPEN} AND assigned_to = %(me)s",
    View.NEW: f"{_OPEN} AND status = 'new' AND {_AWAKE}",
    View.IN_REVIEW: f"{_OPEN} AND status = 'in_review'",
    View.ESCALATED: f"{_OPEN} AND status = 'escalated'",
    View.WAITING_CUSTOMER: f"{_OPEN} AND status = 'waiting_customer'",
    View.SNOOZED: f"{_OPEN} AND snoozed_until IS NOT NULL AND snoozed_until >= now()",
    View.CLOSED: "status = 'closed'",
    View.ALL: "true",
}
FILTERS: dict[str, LiteralString] = {
    "level": "level = %(level)s",
    "typology": "typology = %(typology)s",
    "channel": "channel = %(channel)s",
    "currency": "currency = %(currency)s",
    "disposition": "disposition = %(disposition)s",
    "q": "(alert_id = %(q)s OR transaction_id = %(q)s OR customer_id = %(q)s OR merchant_id = %(q)s"
    " OR subject_kind <> 'customer' AND subject = %(q)s)",
}
COLUMNS: LiteralString = (
    "alert_id, transaction_id, customer_id, card_last4, merchant_id, subject_kind, subject, event_time, detected_at,"
    " amount, currency, type, channel, score, level, typology, status, disposition, assigned_to, case_id,"
    " snoozed_until, version, updated_at, updated_by"
)
LISTED: LiteralString = COLUMNS + ", reasons -> 0 ->> 'text' AS first_reason, jsonb_array_length(reasons) AS reasons"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A question to the queue. Empty texts mean any."""

    view: View = View.OPEN
    sort: Sort | None = None
    level: str = ""
    typology: str = ""
    channel: str = ""
    currency: str = ""
    disposition: str = ""
    q: str = ""
    cursor: str = ""
    limit: int = 50

    @property
    def order(self) -> Order:
        """How it is sorted.

        Raises:
            Problem: 422, this view cannot be sorted so.
        """
        by_time = self.view in BY_TIME_ONLY
        sort = self.sort or (Sort.NEWEST if by_time else Sort.SCORE)
        if by_time and sort not in (Sort.NEWEST, Sort.OLDEST):
            raise Problem(422, f"the view '{self.view}' is sorted by time only: newest or oldest")
        return ORDERS[sort]


@dataclass(frozen=True, slots=True)
class Page:
    """Rows and the cursor of the next page, empty at the end."""

    rows: Sequence[Row]
    next_cursor: str


def build(wanted: Wanted, me: str, columns: LiteralString = LISTED) -> tuple[sql.SQL, dict[str, Any]]:
    """The statement for one page (and one row more, to see whether there is a next), with its parameters."""
    order = wanted.order
    conditions: list[LiteralString] = [VIEWS[wanted.view]]
    parameters: dict[str, Any] = {"me": me, "limit": min(wanted.limit, MAX_PAGE) + 1}
    for name, condition in FILTERS.items():
        if value := getattr(wanted, name):
            conditions.append(condition)
            parameters[name] = value
    if wanted.cursor:
        parameters["after"], parameters["after_id"] = keyset.decode(wanted.cursor, order.kind)
        sign: LiteralString = "<" if order.descending else ">"
        conditions.append(f"({order.column}, alert_id) {sign} (%(after)s, %(after_id)s)")
    way: LiteralString = "DESC" if order.descending else "ASC"
    where: LiteralString = " AND ".join(conditions)
    statement: LiteralString = (
        f"SELECT {columns} FROM fraud.alerts WHERE {where}"  # noqa: S608 - literals only, values are bound
        f" ORDER BY {order.column} {way}, alert_id {way} LIMIT %(limit)s"
    )
    return sql.SQL(statement), parameters


async def page(database: Database, wanted: Wanted, me: str) -> Page:
    """One page of the queue.

    Raises:
        Problem: 422, the cursor or the order is not possible.
    """
    statement, parameters = build(wanted, me)
    rows = await database.rows(statement, parameters)
    limit = parameters["limit"] - 1
    more = len(rows) > limit
    rows = rows[:limit]
    cursor = keyset.encode(rows[-1][wanted.order.column], rows[-1]["alert_id"]) if more else ""
    return Page(rows, cursor)


_COUNT: LiteralString = "(SELECT count(*) FROM (SELECT FROM fraud.alerts WHERE {} LIMIT 1001) AS x) AS {}"
_COUNTED = (View.OPEN, View.MINE, View.NEW, View.IN_REVIEW, View.ESCALATED, View.WAITING_CUSTOMER, View.SNOOZED)


async def counts(database: Database, me: str) -> dict[str, int]:
    """How many alerts each view holds, counted up to a limit: nobody reads the digits of 48,213."""
    parts = [_COUNT.replace("{}", VIEWS[view], 1).replace("{}", view.value, 1) for view in _COUNTED]
    row = await database.one("SELECT " + ", ".join(parts), {"me": me})
    return dict(row or {})

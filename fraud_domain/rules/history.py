"""The bounded memory of one subject: events in order of (event_time, transaction_id), and those of each card.

An event leaves when it is older than the newest one by `max_age`, or when there are more than `limit`; the
newest event of each card stays, however old, so that a card waking up is seen. What left is forgotten: a window
longer than `max_age` sees only what is kept. Labels and account events are kept beside them, in lists of their own.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson

from fraud_domain.rules.aggregates import Row
from fraud_domain.rules.layout import AMOUNT, BASE, CARD_TOKEN
from fraud_domain.rules.vocabulary import Origin

FORMAT = 1
PERIOD_LIMIT = 8
NOTE_LIMIT = 200
"""Labels, and account events, kept per subject."""

KEPT_FROM = 32
"""With as many events the list of those that pass a test is kept. With fewer it is made again each time, which takes
about 2 us; kept lists would take some 500 bytes of each of the many subjects that are seen once."""

_NO_EVENTS: tuple[list[int], list[Row]] = ([], [])
_NOTED = tuple(origin for origin in Origin if origin is not Origin.TRANSACTIONS)
_NO_NOTES: tuple[Any, ...] = ((), (), 0) * len(_NOTED)


class HistoryFormatError(ValueError):
    """A stored history was written in a format this version cannot read."""


class History:
    """Events of one customer, sorted; made by `Engine.new_history` or `History.load`."""

    __slots__ = ("cards", "fields", "ids", "kept", "noted", "raised", "rows", "times")

    def __init__(self, fields: tuple[str, ...] = BASE) -> None:
        self.fields = fields
        self.times: list[int] = []
        self.rows: list[Row] = []
        self.ids: set[str] = set()
        self.cards: dict[str, tuple[list[int], list[Row]]] = {}
        self.noted: dict[Origin, tuple[list[int], list[Row]]] = {}
        self.raised: dict[str, list[int]] = {}
        self.kept: dict[Callable[[Row], bool], tuple[list[int], list[Row]]] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def card(self, token: str | None) -> tuple[list[int], list[Row]]:
        """Times and rows of one card, not to be changed."""
        return _NO_EVENTS if token is None else self.cards.get(token, _NO_EVENTS)

    def passing(self, test: Callable[[Row], bool], before: int) -> tuple[list[int], list[Row], int]:
        """Times and rows of all events that pass a test, and how many of those are among the first `before` events.

        Of a subject with many events the list is kept from then on, so that a count takes two searches and not a look
        at each event of its window.
        """
        known = self.kept.get(test) if self.kept else None
        if known is None:
            passed = [row for row in self.rows if test(row)]
            known = ([row[0] for row in passed], passed)
            if len(self.rows) >= KEPT_FROM:
                self.kept = self.kept or {}
                self.kept[test] = known
        times, rows = known
        return times, rows, len(rows) if before == len(self.rows) else bisect_left(rows, self.rows[before][:2])

    def notes(self, moment: int) -> tuple[Any, ...]:
        """Times, rows and number of those up to `moment`, for labels, then for account events."""
        if not self.noted:
            return _NO_NOTES
        found: list[Any] = []
        for origin in _NOTED:
            times, rows = self.noted.get(origin, _NO_EVENTS)
            found += (times, rows, bisect_right(times, moment))
        return tuple(found)

    def note(self, origin: Origin, row: Row, max_age: int) -> bool:
        """Remember a label or account event (time and identity first); False when it is known already."""
        times, rows = self.noted.setdefault(origin, ([], []))
        if row in rows:
            return False
        position = bisect_right([known[:2] for known in rows], row[:2])
        times.insert(position, row[0])
        rows.insert(position, row)
        while len(rows) > NOTE_LIMIT or times[0] < times[-1] - max_age:
            del times[0], rows[0]
        return True

    def raise_once(self, typology: str, period: int) -> bool:
        """Whether this is the first alert of a typology in a window; remembers the last few windows."""
        periods = self.raised.setdefault(typology, [])
        if period in periods:
            return False
        periods.append(period)
        del periods[:-PERIOD_LIMIT]
        return True

    def add(self, row: Row, max_age: int, limit: int) -> None:
        """Insert an event, then let go of what is too old or too many. `max_age` in microseconds."""
        self._insert(row)
        times = self.times
        horizon = times[-1] - max_age
        index = 0
        while index < len(times) and times[index] < horizon:
            if not self._drop(index, keep_newest_of_card=True):
                index += 1
        while len(times) > limit:
            self._drop(0, keep_newest_of_card=False)

    def _insert(self, row: Row) -> None:
        self.ids.add(row[1])
        _place(self.times, self.rows, row)
        token = row[CARD_TOKEN]
        if token is not None:
            card = self.cards.get(token)
            if card is None:
                self.cards[token] = ([row[0]], [row])
            else:
                _place(*card, row)
        if self.kept:
            for test, (times, rows) in self.kept.items():
                if test(row):
                    _place(times, rows, row)

    def _drop(self, index: int, keep_newest_of_card: bool) -> bool:
        row = self.rows[index]
        token = row[CARD_TOKEN]
        if token is not None:
            times, rows = self.cards[token]
            if len(rows) == 1:
                if keep_newest_of_card:
                    return False
                del self.cards[token]
            else:
                _remove(times, rows, row)
        del self.times[index], self.rows[index]
        self.ids.discard(row[1])
        if self.kept:
            for times, rows in self.kept.values():
                _remove(times, rows, row)
        return True

    def arrange(self, fields: tuple[str, ...]) -> None:
        """Bring the rows into another layout: removed fields go, added ones are missing in old events."""
        if fields == self.fields:
            self.fields, self.kept = fields, None
            return
        positions = [self.fields.index(name) if name in self.fields else None for name in fields]
        rows = [tuple(None if p is None else row[p] for p in positions) for row in self.rows]
        self._fill(fields, rows)

    def _fill(self, fields: tuple[str, ...], rows: list[Row]) -> None:
        self.fields, self.rows, self.cards, self.kept = fields, rows, {}, None
        self.times = [row[0] for row in rows]
        self.ids = {row[1] for row in rows}
        cards = self.cards
        for row in rows:
            token = row[CARD_TOKEN]
            if token is not None:
                card = cards.get(token)
                if card is None:
                    cards[token] = ([row[0]], [row])
                else:
                    card[0].append(row[0])
                    card[1].append(row)

    def dump(self) -> bytes:
        """Compact JSON: the field names once, then one list per event; money as exact text."""
        content: dict[str, Any] = {"v": FORMAT, "f": self.fields, "r": self.rows}
        if self.noted:
            content["s"] = {origin.value: rows for origin, (_, rows) in self.noted.items()}
        if self.raised:
            content["p"] = self.raised
        return orjson.dumps(content, default=_exact)

    @classmethod
    def load(cls, blob: bytes | str) -> "History":
        """Read what `dump` wrote, under whatever catalogue it was written.

        Raises:
            HistoryFormatError: it is not a history of this format.
        """
        try:
            content = orjson.loads(blob)
            version, fields, rows = content["v"], tuple(content["f"]), content["r"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise HistoryFormatError(f"not a stored history: {error}") from None
        if version != FORMAT or fields[: len(BASE)] != BASE:
            raise HistoryFormatError(f"stored history has format {version}, expected {FORMAT}; rebuild it from silver")
        for row in rows:
            row[AMOUNT] = Decimal(row[AMOUNT])
        history = cls(fields)
        history._fill(fields, [tuple(row) for row in rows])
        for name, noted in content.get("s", {}).items():
            history.noted[Origin(name)] = ([row[0] for row in noted], [tuple(row) for row in noted])
        history.raised = content.get("p", {})
        return history


def _place(times: list[int], rows: list[Row], row: Row) -> None:
    moment = row[0]
    if not times or moment > times[-1]:
        times.append(moment)
        rows.append(row)
    else:
        position = bisect_left(rows, row[:2])
        times.insert(position, moment)
        rows.insert(position, row)


def _remove(times: list[int], rows: list[Row], row: Row) -> None:
    """Take a row out, if it is there; nearly always it is the oldest."""
    position = 0 if rows and rows[0] is row else bisect_left(rows, row[:2])
    if position < len(rows) and rows[position] is row:
        del times[position], rows[position]


def _exact(value: Any) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be stored in a history")

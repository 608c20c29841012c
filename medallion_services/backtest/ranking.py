"""How good a ranking is: pure functions over scores and truth."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

DAY_US = 86_400_000_000
_Z95 = 1.959963984540054


def wilson(hits: int, of: int) -> tuple[float, float] | None:
    """95 % confidence interval of a share (E. B. Wilson, JASA 22, 1927); None without observations."""
    if of == 0:
        return None
    share, z2 = hits / of, _Z95**2
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z95 / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def average_precision(groups: Sequence[tuple[float, int, int]]) -> float | None:
    """Area under the precision-recall curve as a sum over thresholds; ties count as one threshold.

    Args:
        groups: (score, frauds, others), each score once, highest first.
    """
    total = sum(frauds for _, frauds, _ in groups)
    if not total:
        return None
    area, found, seen = 0.0, 0, 0
    for _, frauds, others in groups:
        found, seen = found + frauds, seen + frauds + others
        area += frauds / total * found / seen
    return area


def auc(groups: Sequence[tuple[float, int, int]]) -> float | None:
    """Chance that a fraud scores above an honest transaction, a tie counting half; `groups` as above."""
    frauds, others = sum(g[1] for g in groups), sum(g[2] for g in groups)
    if not frauds or not others:
        return None
    below, won = others, 0.0
    for _, positive, negative in groups:
        below -= negative
        won += positive * (below + negative / 2)
    return won / (frauds * others)


def curve(groups: Sequence[tuple[float, int, int]]) -> list[tuple[float, float, float]]:
    """Points (score, recall, precision) of every threshold above zero."""
    total = sum(frauds for _, frauds, _ in groups)
    points, found, seen = [], 0, 0
    for score, frauds, others in groups:
        found, seen = found + frauds, seen + frauds + others
        if total and score > 0:
            points.append((score, found / total, found / seen))
    return points


@dataclass(frozen=True, slots=True)
class CardDay:
    """One card on one day: `day` counts from 1970, `score` its highest, `fraud` whether one was fraud.

    `known` is the first day at whose start a label had told that the card is compromised; None: never.
    """

    day: int
    card: str
    score: float
    fraud: bool
    known: int | None


@dataclass(frozen=True, slots=True)
class CardPrecision:
    """Averages over the days: compromised cards among the `k` shown, the best possible, and the share found."""

    k: int
    days: int
    precision: float | None
    best: float | None
    recall: float | None
    found: int
    compromised: int


def card_precision(rows: Iterable[CardDay], k: int) -> CardPrecision:
    """Card precision top-k: of the `k` cards shown on a day, how many were compromised that day; mean over days.

    A card leaves the day after it was shown and compromised, and from the day at whose start a label tells of it.
    On a day with fewer cards than `k`, those there are count. `rows` come by day; ties go by the card's name.
    See Le Borgne et al., Reproducible Machine Learning for Credit Card Fraud Detection, chapter 4.
    """
    gone: set[str] = set()
    precisions: list[float] = []
    bests: list[float] = []
    recalls: list[float] = []
    found = compromised = 0
    for day, cards in groupby(rows, key=lambda row: row.day):
        left = [c for c in cards if c.card not in gone and (c.known is None or c.known > day)]
        left.sort(key=lambda c: (-c.score, c.card))
        shown = left[:k]
        bad = sum(card.fraud for card in left)
        caught = [card.card for card in shown if card.fraud]
        gone.update(caught)
        found, compromised = found + len(caught), compromised + bad
        if shown:
            precisions.append(len(caught) / len(shown))
            bests.append(min(bad, len(shown)) / len(shown))
        if bad:
            recalls.append(len(caught) / bad)
    return CardPrecision(k, len(precisions), _mean(precisions), _mean(bests), _mean(recalls), found, compromised)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def median(values: Sequence[float]) -> float | None:
    """The middle value, or the mean of the two middle ones."""
    ordered = sorted(values)
    if not ordered:
        return None
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def share(part: float, of: float) -> float | None:
    """A share; None of nothing."""
    return part / of if of else None

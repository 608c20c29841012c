"""The figures of a backtest, by hand and against plain computations on random data."""

import math
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medallion_services.backtest.ranking import CardDay, auc, average_precision, card_precision, curve, median, wilson

SCORED = st.lists(st.tuples(st.sampled_from([0.0, 10.0, 40.0, 70.0, 95.0]), st.booleans()), min_size=1, max_size=40)


def groups(scored: list[tuple[float, bool]]) -> list[tuple[float, int, int]]:
    """As the SQL gives them: each score once, highest first."""
    counts: dict[float, list[int]] = defaultdict(lambda: [0, 0])
    for score, fraud in scored:
        counts[score][not fraud] += 1
    return [(score, *counts[score]) for score in sorted(counts, reverse=True)]  # type: ignore[misc]


def test_by_hand() -> None:
    scored = [(90.0, True), (90.0, False), (50.0, True), (0.0, False), (0.0, True)]
    assert average_precision(groups(scored)) == pytest.approx(1 / 3 * 1 / 2 + 1 / 3 * 2 / 3 + 1 / 3 * 3 / 5)
    # Six pairs of fraud and honest: 90=90 half, 90>0, 50<90 lost, 50>0, 0<90 lost, 0=0 half.
    assert auc(groups(scored)) == pytest.approx(3 / 6)
    assert curve(groups(scored)) == [(90.0, 1 / 3, 1 / 2), (50.0, 2 / 3, 2 / 3)]
    assert median([3, 1]) == 2
    low, high = wilson(8, 10) or (0, 0)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)


@given(SCORED)
def test_auc_is_the_share_of_pairs_won(scored: list[tuple[float, bool]]) -> None:
    frauds, others = [s for s, f in scored if f], [s for s, f in scored if not f]
    won = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in frauds for b in others)
    pairs = len(frauds) * len(others)
    assert auc(groups(scored)) == (pytest.approx(won / pairs) if pairs else None)


@given(SCORED)
def test_average_precision_sums_over_thresholds(scored: list[tuple[float, bool]]) -> None:
    total = sum(fraud for _, fraud in scored)
    area, before = 0.0, 0.0
    for threshold in sorted({score for score, _ in scored}, reverse=True):
        chosen = [fraud for score, fraud in scored if score >= threshold]
        recall = sum(chosen) / total if total else 0.0
        area += (recall - before) * sum(chosen) / len(chosen)
        before = recall
    assert average_precision(groups(scored)) == (pytest.approx(area) if total else None)


def test_card_precision_by_hand() -> None:
    days = [
        CardDay(1, "a", 90, True, None),
        CardDay(1, "b", 80, False, None),
        CardDay(1, "c", 10, True, 3),
        CardDay(2, "a", 95, True, None),  # Found on day 1: not shown any more.
        CardDay(2, "b", 80, False, None),
        CardDay(2, "c", 70, True, 3),
        CardDay(3, "c", 99, True, 3),  # Found on day 2.
        CardDay(3, "d", 50, True, 3),  # A label told of it.
        CardDay(3, "e", 0, False, None),
    ]
    found = card_precision(days, 2)
    assert found.precision == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert found.best == pytest.approx((2 / 2 + 1 / 2 + 0) / 3)
    assert found.recall == pytest.approx((1 / 2 + 1) / 2)
    assert (found.found, found.compromised, found.days) == (2, 3, 3)


CARD_DAYS = st.lists(
    st.tuples(
        st.integers(1, 5), st.sampled_from("abcdef"), st.sampled_from([0.0, 20.0, 60.0]), st.booleans(),
        st.none() | st.integers(1, 5),
    ),
    max_size=30, unique_by=lambda row: (row[0], row[1]),
)  # fmt: skip


@given(CARD_DAYS, st.integers(1, 4))
def test_card_precision_day_by_day(rows: list[tuple[int, str, float, bool, int | None]], k: int) -> None:
    table = sorted((CardDay(*row) for row in rows), key=lambda row: row.day)
    detected: set[str] = set()
    precisions = []
    for day in sorted({row.day for row in table}):
        rest = [r for r in table if r.day == day and r.card not in detected and not (r.known and r.known <= day)]
        top = sorted(rest, key=lambda r: (-r.score, r.card))[:k]
        if top:
            precisions.append(sum(r.fraud for r in top) / len(top))
        detected |= {r.card for r in top if r.fraud}
    expected = math.fsum(precisions) / len(precisions) if precisions else None
    assert card_precision(table, k).precision == expected

"""Who is told, when and how: the table of decisions, quiet hours across midnight and clock changes, back-off."""

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medallion_services.notifier.backoff import (
    LONGEST_SECONDS,
    DeliveryError,
    RefusedError,
    after_failure,
    check_status,
    full_jitter,
)
from medallion_services.notifier.model import Alert, Route, Told
from medallion_services.notifier.routing import DIGEST_SETTLE, Kind, decide, in_cooldown, quiet_until

NOW = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)
ALL = Route("email", "team")
ALERT = Alert("a1", "customer", "c1", "pix_scam", "high", 75.0, Decimal("812.40"), "BRL", NOW, NOW, ("because",))


def at(minutes: float, level: str = "high", score: float = 75.0) -> Told:
    """An earlier alert, so many minutes before `NOW`."""
    return Told(NOW - timedelta(minutes=minutes), level, score, Decimal(100))


@pytest.mark.parametrize(
    ("route", "kind", "reason"),
    [
        (ALL, Kind.SEND, ""),
        (replace(ALL, enabled=False), Kind.SKIP, "disabled"),
        (replace(ALL, min_score=75.0), Kind.SEND, ""),
        (replace(ALL, min_score=75.1), Kind.SKIP, "score below 75.1"),
        (replace(ALL, min_level="high"), Kind.SEND, ""),
        (replace(ALL, min_level="critical"), Kind.SKIP, "level below critical"),
        (replace(ALL, typologies=("pix_scam", "card_testing")), Kind.SEND, ""),
        (replace(ALL, typologies=("card_testing",)), Kind.SKIP, "typology pix_scam is not wanted"),
        (replace(ALL, min_amount=Decimal("812.40")), Kind.SEND, ""),
        (replace(ALL, min_amount=Decimal("812.41")), Kind.SKIP, "amount below 812.41"),
        (replace(ALL, quiet_from=time(11), quiet_until=time(13)), Kind.DIGEST, "quiet hours"),
        (replace(ALL, quiet_from=time(11), quiet_until=time(13), quiet_except="high"), Kind.SEND, ""),
        (replace(ALL, digest_above=4), Kind.SEND, ""),
        (replace(ALL, digest_above=3), Kind.DIGEST, "more than 3 in a minute"),
        (replace(ALL, digest_above=0), Kind.DIGEST, "more than 0 in a minute"),
    ],
)
def test_the_decision_about_one_alert(route: Route, kind: Kind, reason: str) -> None:
    decision = decide(route, ALERT, [], 3, NOW)
    assert decision.kind is kind
    assert reason in decision.reason


def test_a_digest_of_a_minute_goes_out_after_that_minute_however_late_it_is_decided() -> None:
    route = replace(ALL, digest_above=0)
    end = datetime(2026, 3, 4, 12, 1, tzinfo=UTC) + DIGEST_SETTLE
    for late in (timedelta(0), timedelta(hours=5)):
        assert decide(route, ALERT, [], 0, NOW + late).at == end


@pytest.mark.parametrize(
    ("earlier", "silent"),
    [
        ([], False),
        ([at(9)], True),
        ([at(10)], False),
        ([at(10), at(9)], False),  # The one at 9 was silent itself and does not make the silence longer.
        ([at(19), at(12), at(5)], True),  # Told at 19 and at 5, silent at 12.
        ([at(9, level="medium", score=50.0)], False),
        ([at(9, level="critical", score=95.0)], True),
        ([at(9, score=10.0)], False),
    ],
)
def test_cooldown_is_folded_from_the_first_alert(earlier: list[Told], silent: bool) -> None:
    route = replace(ALL, cooldown=timedelta(minutes=10), min_score=40.0)
    assert in_cooldown(route, ALERT, earlier) is silent


@given(st.lists(st.integers(0, 3_000), max_size=40), st.integers(1, 900))
def test_between_two_told_alerts_of_one_level_lies_the_cooldown_and_nobody_waits_longer(
    seconds: list[int], cooldown: int
) -> None:
    route = replace(ALL, cooldown=timedelta(seconds=cooldown))
    moments = sorted({NOW + timedelta(seconds=second) for second in seconds})
    history = [Told(moment, "high", 75.0, Decimal(1)) for moment in moments]
    told = [
        moment
        for number, moment in enumerate(moments)
        if not in_cooldown(route, replace(ALERT, detected_at=moment), history[:number])
    ]
    assert told[:1] == moments[:1]
    for before, after in itertools.pairwise(told):
        assert after - before >= route.cooldown
        assert all(m - before < route.cooldown for m in moments if before < m < after)


NIGHT = replace(ALL, quiet_from=time(22), quiet_until=time(7), time_zone="America/New_York")


def moment(text: str) -> datetime:
    """A UTC moment."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "end"),
    [
        # Winter, UTC-5: 22:00 is 03:00 UTC.
        ("2026-01-15 02:59:59", None),
        ("2026-01-15 03:00:00", "2026-01-15 12:00:00"),
        ("2026-01-15 04:59:59", "2026-01-15 12:00:00"),
        ("2026-01-15 05:00:00", "2026-01-15 12:00:00"),
        ("2026-01-15 11:59:59", "2026-01-15 12:00:00"),
        ("2026-01-15 12:00:00", None),
        # Clocks jump forward on 2026-03-08 at 02:00: that night ends at 07:00 of summer time, 11:00 UTC.
        ("2026-03-08 03:30:00", "2026-03-08 11:00:00"),
        ("2026-03-08 10:59:59", "2026-03-08 11:00:00"),
        ("2026-03-08 11:00:00", None),
        # And back on 2026-11-01: 07:00 is 12:00 UTC again.
        ("2026-11-01 03:00:00", "2026-11-01 12:00:00"),
        ("2026-11-01 11:30:00", "2026-11-01 12:00:00"),
    ],
)
def test_quiet_hours_across_midnight_and_clock_changes(now: str, end: str | None) -> None:
    assert quiet_until(NIGHT, moment(now)) == (moment(end) if end else None)


def test_quiet_hours_that_end_in_the_hour_that_does_not_exist() -> None:
    route = replace(NIGHT, quiet_until=time(2, 30))
    assert quiet_until(route, moment("2026-03-08 06:30:00")) == moment("2026-03-08 07:30:00")


def test_quiet_hours_that_end_in_the_hour_that_comes_twice_are_over_the_first_time() -> None:
    route = replace(NIGHT, quiet_until=time(1, 30))
    assert quiet_until(route, moment("2026-11-01 05:10:00")) == moment("2026-11-01 05:30:00")
    assert quiet_until(route, moment("2026-11-01 06:10:00")) is None


def test_quiet_hours_within_a_day_and_none() -> None:
    lunch = replace(ALL, quiet_from=time(12), quiet_until=time(13))
    assert quiet_until(lunch, moment("2026-01-15 12:30:00")) == moment("2026-01-15 13:00:00")
    assert quiet_until(lunch, moment("2026-01-15 13:00:00")) is None
    assert quiet_until(ALL, NOW) is None
    assert quiet_until(replace(ALL, quiet_from=time(8), quiet_until=time(8)), NOW) is None


@given(st.integers(1, 60), st.integers(0, 2**32))
def test_back_off_lies_between_a_second_and_an_hour(attempts: int, seed: int) -> None:
    pause = full_jitter(attempts, random.Random(seed))
    assert 1.0 <= pause <= min(LONGEST_SECONDS, max(1.0, 2.0**attempts))


def test_back_off_grows_and_differs() -> None:
    rng = random.Random(1)
    means = [sum(full_jitter(attempts, rng) for _ in range(400)) / 400 for attempts in (1, 4, 8, 12)]
    assert means == sorted(means)
    assert len({full_jitter(8, rng) for _ in range(20)}) == 20


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_answers_that_say_later(status: int) -> None:
    with pytest.raises(DeliveryError, match=f"HTTP {status}"):
        check_status(status)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410, 413, 422])
def test_answers_that_say_never(status: int) -> None:
    with pytest.raises(RefusedError, match=f"HTTP {status}"):
        check_status(status)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_answers_that_say_yes(status: int) -> None:
    check_status(status)


def test_a_failure_is_final_after_the_last_attempt_or_a_refusal() -> None:
    rng = random.Random(1)
    assert not after_failure(DeliveryError("x"), 11, 12, rng).dead
    assert after_failure(DeliveryError("x"), 12, 12, rng).dead
    assert after_failure(RefusedError("x"), 1, 12, rng).dead
    assert not after_failure(ValueError("not foreseen"), 1, 12, rng).dead


def test_what_a_provider_asks_for_is_kept_up_to_an_hour() -> None:
    rng = random.Random(1)
    assert after_failure(DeliveryError("HTTP 429", 120.0), 1, 12, rng).pause == 120.0
    assert after_failure(DeliveryError("HTTP 429", 1e9), 1, 12, rng).pause == LONGEST_SECONDS

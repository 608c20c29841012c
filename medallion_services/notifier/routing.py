"""Whether, when and how one recipient is told of one alert. Pure: the clock is passed in.

Cooldown and digest are decided by `detected_at`, so the same rows lead to the same decisions; only quiet hours look at
the clock, since they are about when a phone may ring.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from medallion_services.notifier.model import LEVELS, Alert, Route, Told

DIGEST_SETTLE = timedelta(seconds=5)
"""A digest waits this long after its minute, for rows that commit late."""


class Kind(StrEnum):
    """What to do with a row."""

    SEND = "send"
    DIGEST = "digest"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` for people; `at` is when a digest goes out."""

    kind: Kind
    reason: str = ""
    at: datetime | None = None


def unwanted(route: Route, alert: Alert | Told, typology: str) -> str:
    """Why the route does not want the alert; empty when it does."""
    if not route.enabled:
        return "the route is disabled"
    if alert.score < route.min_score:
        return f"score below {route.min_score:g}"
    if route.min_level and LEVELS.index(alert.level) < LEVELS.index(route.min_level):
        return f"level below {route.min_level}"
    if route.typologies and typology not in route.typologies:
        return f"typology {typology} is not wanted"
    if route.min_amount is not None and alert.amount < route.min_amount:
        return f"amount below {route.min_amount}"
    return ""


def quiet_until(route: Route, now: datetime) -> datetime | None:
    """The end (UTC) of the quiet hours that `now` lies in; None when the recipient may be told.

    Wall clock of the route's time zone: across a change to summer time a night is an hour shorter. An end that does
    not exist on that day (02:30 when clocks jump from 02:00 to 03:00) is read with the offset before the jump, PEP 495.
    """
    if route.quiet_from is None or route.quiet_until is None or route.quiet_from == route.quiet_until:
        return None
    zone = ZoneInfo(route.time_zone)
    local = now.astimezone(zone)
    clock = local.time().replace(tzinfo=None)
    overnight = route.quiet_from > route.quiet_until
    if overnight:
        inside = clock >= route.quiet_from or clock < route.quiet_until
    else:
        inside = route.quiet_from <= clock < route.quiet_until
    if not inside:
        return None
    days = 1 if overnight and clock >= route.quiet_from else 0
    end = datetime.combine(local.date() + timedelta(days=days), route.quiet_until, zone).astimezone(UTC)
    return end if end > now else None


def in_cooldown(route: Route, alert: Alert, earlier: Sequence[Told]) -> bool:
    """Whether the recipient heard of this subject and typology within the cooldown, at this level or a higher one.

    Args:
        earlier: alerts of the same subject and typology before this one, in order of detection.
    """
    if not route.cooldown:
        return False
    last: Told | None = None
    this = Told(alert.detected_at, alert.level, alert.score, alert.amount)
    for each in (*(told for told in earlier if not unwanted(route, told, alert.typology)), this):
        silent = (
            last is not None
            and each.detected_at - last.detected_at < route.cooldown
            and LEVELS.index(each.level) <= LEVELS.index(last.level)
        )
        if each is this:
            return silent
        if not silent:
            last = each
    return False


def decide(route: Route, alert: Alert, earlier: Sequence[Told], rank: int, now: datetime) -> Decision:
    """The decision about one outbox row.

    Args:
        earlier: see `in_cooldown`.
        rank: how many rows of the same recipient come before this one in the minute of its detection.
    """
    if reason := unwanted(route, alert, alert.typology):
        return Decision(Kind.SKIP, reason)
    if in_cooldown(route, alert, earlier):
        return Decision(Kind.SKIP, f"cooldown: {alert.subject_kind} and typology were told of lately")
    if LEVELS.index(alert.level) < LEVELS.index(route.quiet_except) and (end := quiet_until(route, now)):
        return Decision(Kind.DIGEST, "quiet hours", end)
    if route.digest_above is not None and rank >= route.digest_above:
        minute = alert.detected_at.replace(second=0, microsecond=0) + timedelta(minutes=1)
        return Decision(Kind.DIGEST, f"more than {route.digest_above} in a minute", minute + DIGEST_SETTLE)
    return Decision(Kind.SEND)

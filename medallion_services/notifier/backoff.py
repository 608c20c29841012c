"""What a failed attempt means: try again, and when, or give up."""

import random
from dataclasses import dataclass

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 3_600.0
_TRY_AGAIN = frozenset({408, 425, 429})


class DeliveryError(RuntimeError):
    """A message was not delivered; trying again may help. The text holds no address, token or URL."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class RefusedError(RuntimeError):
    """A message will never be delivered as it is: a wrong address, a refusal, a card number. The text is for people."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """After a failure: dead, or again after `pause` seconds."""

    dead: bool
    pause: float = 0.0


def full_jitter(attempts: int, rng: random.Random) -> float:
    """Seconds to wait after so many attempts: uniform up to 2^attempts, between one second and an hour.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: full jitter spreads clients best.
    """
    return rng.uniform(FIRST_SECONDS, max(FIRST_SECONDS, min(LONGEST_SECONDS, 2.0 ** min(attempts, 12))))


def after_failure(error: Exception, attempts: int, max_attempts: int, rng: random.Random) -> Verdict:
    """What to do after `attempts` attempts, the last of which ended with `error`."""
    if isinstance(error, RefusedError) or attempts >= max_attempts:
        return Verdict(dead=True)
    asked = getattr(error, "retry_after", None) or 0.0
    return Verdict(dead=False, pause=max(full_jitter(attempts, rng), min(asked, LONGEST_SECONDS)))


def check_status(status: int, retry_after: str | None = None) -> None:
    """Judge an HTTP answer.

    Raises:
        DeliveryError: 408, 425, 429 and 5xx; `retry_after` in seconds when the server asked for it.
        RefusedError: anything else but 2xx.
    """
    if 200 <= status < 300:
        return
    if status in _TRY_AGAIN or status >= 500:
        asked = float(retry_after) if retry_after and retry_after.strip().isdecimal() else None
        raise DeliveryError(f"HTTP {status}", asked)
    hint = "; redirects are not followed" if 300 <= status < 400 else ""
    raise RefusedError(f"HTTP {status}{hint}")

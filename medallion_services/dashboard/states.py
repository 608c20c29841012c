"""The life of an alert. PostgreSQL enforces the same table (`fraud.alert_transitions`); here it serves the buttons."""

from enum import StrEnum


class State(StrEnum):
    """Where an alert stands."""

    NEW = "new"
    IN_REVIEW = "in_review"
    ESCALATED = "escalated"
    WAITING_CUSTOMER = "waiting_customer"
    CLOSED = "closed"


class Disposition(StrEnum):
    """What an analyst found out; said when an alert is closed."""

    CONFIRMED_FRAUD = "confirmed_fraud"
    FALSE_POSITIVE = "false_positive"
    VERIFIED = "verified"
    DUPLICATE = "duplicate"
    INCONCLUSIVE = "inconclusive"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.NEW: frozenset({State.IN_REVIEW, State.CLOSED}),
    State.IN_REVIEW: frozenset({State.ESCALATED, State.WAITING_CUSTOMER, State.CLOSED}),
    State.ESCALATED: frozenset({State.IN_REVIEW, State.WAITING_CUSTOMER, State.CLOSED}),
    State.WAITING_CUSTOMER: frozenset({State.IN_REVIEW, State.ESCALATED, State.CLOSED}),
    State.CLOSED: frozenset({State.IN_REVIEW}),
}

LABELS: dict[Disposition, str | None] = {
    Disposition.CONFIRMED_FRAUD: "fraud",
    Disposition.FALSE_POSITIVE: "legit",
    Disposition.VERIFIED: "legit",
    Disposition.DUPLICATE: None,
    Disposition.INCONCLUSIVE: None,
}
"""What a disposition says about the transaction; None says nothing, so no label is published."""


def allowed(state: State) -> tuple[State, ...]:
    """The states an alert may go to next, in the order of the life of an alert."""
    return tuple(each for each in State if each in TRANSITIONS[state])


def complaint(before: State, after: State, disposition: Disposition | None) -> str | None:
    """Why a move is refused, in words; None when it is allowed."""
    if after not in TRANSITIONS[before]:
        return f"an alert cannot go from {before} to {after}; from {before} it can go to {', '.join(allowed(before))}"
    if (after is State.CLOSED) != (disposition is not None):
        return "closing needs a disposition" if after is State.CLOSED else "only closing takes a disposition"
    return None

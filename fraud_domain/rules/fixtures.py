"""Fixtures of rules: compact histories in YAML, the events they stand for, and the check that they hold.

A fixture fills defaults from a profile (pos, online, pix, atm), then its `base`, then each entry. Times count
back from the judged transaction: `{ago: 30d, repeat: 20, every: 1d, amount: 100}` is twenty events, the first
30 days before; `{n}` in a text is the number of the repetition. `labels` and `account_events` of the subject are
written alike. An off rule's fixtures are checked too, so that it can be switched on with confidence.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from fraud_domain.contract import AccountAction, Label, LabelSource, Transaction
from fraud_domain.rules.durations import parse_duration
from fraud_domain.rules.engine import Engine
from fraud_domain.rules.model import Catalogue, Fixture, Rule, Status, Subject
from fraud_domain.rules.vocabulary import ORIGIN_FIELDS, Origin
from fraud_domain.settings import RuleSettings

Event = dict[str, Any]
DEFAULT_TIME = "2026-03-04T15:00:00+00:00"
"""Noon in the fixtures' time zone, a Wednesday."""

_COMMON: Event = {
    "customer_id": "customer-1",
    "amount": 100,
    "currency": "BRL",
    "status": "APPROVED",
    "home_country": "BR",
    "customer_timezone": "America/Sao_Paulo",
}
_CARD: Event = {
    "type": "CREDIT_CARD",
    "card_token": "card-1",
    "merchant_id": "merchant-1",
    "merchant_country": "BR",
    "mcc": "5411",
    "terminal_id": "terminal-1",
}
PROFILES: dict[str, Event] = {
    "pos": {**_COMMON, **_CARD, "channel": "POS", "entry_mode": "CHIP"},
    "atm": {**_COMMON, **_CARD, "type": "WITHDRAWAL", "channel": "ATM", "entry_mode": "CHIP", "mcc": "6011"},
    "online": {
        **_COMMON,
        **_CARD,
        "channel": "ECOMMERCE",
        "entry_mode": "ECOMMERCE",
        "device_id": "device-1",
        "ip_address": "198.51.100.7",
    },
    "pix": {**_COMMON, "type": "PIX", "channel": "MOBILE_APP", "device_id": "device-1", "pix_key": "key-1"},
}


class FixtureError(ValueError):
    """A fixture does not describe transactions of the contract."""


@dataclass(frozen=True, slots=True)
class FixtureFailure:
    """A fixture that its rule does not honour."""

    rule_id: str
    group: str
    name: str
    file: str
    line: int
    outcome: str

    def __str__(self) -> str:
        wanted = "a hit" if self.group == "positive" else "no hit"
        return f"{self.file}:{self.line}: {self.rule_id} {self.group} '{self.name}': expected {wanted}, {self.outcome}"


def build_events(fixture: Fixture) -> list[Event]:
    """The events of a fixture, oldest first, the judged transaction last; as `Engine.decide` takes them.

    Raises:
        FixtureError: an unknown profile or field, or a value that the contract refuses.
    """
    content = fixture.content
    base, profile = content["base"], content["profile"]
    moment = _moment(content["time"] or DEFAULT_TIME)
    events: list[Event] = []
    for entry in content["history"]:
        for when, fields in _repeated(entry, moment):
            events.append({**_event(entry["profile"] or profile, base, fields), "event_time": when})
    events.sort(key=lambda event: int(event["event_time"]))
    events.append({**_event(profile, base, content["event"]), "event_time": moment})
    for number, event in enumerate(events):
        event.setdefault("transaction_id", f"t-{number:04d}")
    return events


def build_notes(fixture: Fixture) -> list[tuple[Origin, Event]]:
    """The labels and account events of a fixture, oldest first; as `Engine.note` takes them.

    Raises:
        FixtureError: an unknown field or value.
    """
    moment = _moment(fixture.content["time"] or DEFAULT_TIME)
    notes: list[tuple[Origin, Event]] = []
    for origin, defaults in _NOTE_DEFAULTS.items():
        for entry in fixture.content[origin.value]:
            for when, fields in _repeated(entry, moment):
                number = len(notes)
                note = {**defaults, "event_id": f"a-{number}", "transaction_id": f"l-{number}", **fields}
                note = {name: value for name, value in note.items() if name in ORIGIN_FIELDS[origin] or name in fields}
                for name, value in note.items():
                    field = ORIGIN_FIELDS[origin].get(name)
                    if field is None:
                        raise FixtureError(f"'{name}' is not a field of {origin}")
                    if field.values and value not in field.values:
                        raise FixtureError(f"{name}: '{value}' is not one of {', '.join(field.values)}")
                notes.append((origin, {**note, "event_time": when}))
    return sorted(notes, key=lambda note: int(note[1]["event_time"]))


_NOTE_DEFAULTS: dict[Origin, Event] = {
    Origin.LABELS: {"label": Label.FRAUD.value, "source": LabelSource.CHARGEBACK.value},
    Origin.ACCOUNT_EVENTS: {"action": AccountAction.LOGIN.value, "device_id": "device-1"},
}


def _repeated(entry: Mapping[str, Any], moment: int) -> Iterator[tuple[int, Event]]:
    """Time and own fields of every event an entry stands for."""
    step = parse_duration(entry["every"] or "1m")
    for number in range(entry["repeat"]):
        when = moment - parse_duration(entry["ago"]) + number * step
        if when > moment:
            raise FixtureError("history runs past the judged transaction; check ago, repeat and every")
        fields = {name: value for name, value in entry.items() if name not in ("ago", "repeat", "every", "profile")}
        yield when, {n: v.replace("{n}", str(number)) if isinstance(v, str) else v for n, v in fields.items()}


def check_fixtures(catalogue: Catalogue, settings: RuleSettings | None = None) -> list[FixtureFailure]:
    """Every fixture that does not hold: a positive that does not hit, a near miss that hits or abstains."""
    rules = [replace(rule, status=Status.ACTIVE) for rule in catalogue.rules]
    switched_on = Catalogue(tuple(rules), catalogue.typologies)
    engines = {subject: Engine(switched_on, settings or RuleSettings(), subject) for subject in Subject}
    failures = []
    for rule in rules:
        for group, fixtures in (("positive", rule.positive), ("near_miss", rule.near_miss)):
            for fixture in fixtures:
                outcome, expected = _outcome(engines[rule.key.subject], rule, fixture), _expected(group, fixture)
                if outcome != expected:
                    failures.append(FixtureFailure(rule.id, group, fixture.name, rule.file, fixture.line, outcome))
    return failures


def _expected(group: str, fixture: Fixture) -> str:
    if group == "positive":
        return "it hits"
    return "it abstains for lack of history" if fixture.content["abstains"] else "it does not hit"


def _outcome(engine: Engine, rule: Rule, fixture: Fixture) -> str:
    history = engine.new_history()
    decision = None
    events = build_events(fixture)
    subject = events[-1].get(engine.subject.field)
    if subject is None:
        return f"the judged transaction has no {engine.subject.field}"
    for origin, note in build_notes(fixture):
        engine.note(history, origin, note)
    for event in events:
        if event.get(engine.subject.field) == subject:
            decision = engine.decide(history, event)
    if decision is None:
        return "the judged transaction is a duplicate"
    if any(reason.rule_id == rule.id for reason in decision.reasons):
        return "it hits"
    return "it abstains for lack of history" if rule.id in decision.abstained else "it does not hit"


def _moment(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise FixtureError(f"time '{text}' has no offset")
    return round(moment.timestamp()) * 1_000_000


def _event(profile: str, base: Mapping[str, Any], fields: Mapping[str, Any]) -> Event:
    if profile not in PROFILES:
        raise FixtureError(f"unknown profile '{profile}'; one of {', '.join(PROFILES)}")
    event = {**PROFILES[profile], **base, **fields}
    for name in event:
        if name not in Transaction.model_fields or name == "event_time":
            raise FixtureError(f"'{name}' is not a field of a transaction")
    event = {name: float(value) if _is_place(name, value) else value for name, value in event.items()}
    try:
        Transaction.model_validate({"transaction_id": "t", "event_time": DEFAULT_TIME, **event})
    except ValidationError as error:
        first = error.errors()[0]
        raise FixtureError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return {**event, "amount": Decimal(event["amount"])}


def _is_place(name: str, value: object) -> bool:
    return name.endswith(("latitude", "longitude")) and value is not None

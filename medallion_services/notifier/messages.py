"""What people read: one template a message and language, first line the title. A card number is never sent."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from fraud_domain.cards import find_card_numbers, luhn_valid
from medallion_services.dashboard.i18n import Translator, load_texts
from medallion_services.dashboard.render import money, number
from medallion_services.notifier.backoff import RefusedError
from medallion_services.notifier.model import LEVELS, Alert, Message

TEMPLATES = Path(__file__).parent / "templates"
_DIGEST_LINES = 20
_URGENT = frozenset({"high", "critical"})
_SPACED = re.compile(r"(?<![0-9])[2-6][0-9]{3}(?:[ -][0-9]{4}){2}[ -][0-9]{1,7}(?![0-9])")


@cache
def environment() -> Environment:
    """The templates of both languages."""
    # Plain text: nothing is escaped, and nothing is read as markup by the channels.
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=select_autoescape(("html",)),
        trim_blocks=True,
        keep_trailing_newline=True,
    )


@cache
def _translator(language: str) -> Translator:
    return Translator(language, load_texts()[language])


def render(name: str, language: str, values: Mapping[str, Any]) -> tuple[str, str]:
    """(title, body) of a template.

    Raises:
        jinja2.UndefinedError: a placeholder has no value.
    """
    title, _, body = environment().get_template(f"{language}/{name}.txt").render(values).partition("\n")
    return title.strip(), body.strip() + "\n"


def refuse_card_numbers(message: Message) -> Message:
    """The message itself, when it is fit to leave.

    Raises:
        RefusedError: it contains what looks like a card number; the number is not in the text.
    """
    text = "\n".join((message.title, message.body, message.link, str(dict(message.data))))
    spaced = (luhn_valid(re.sub(r"[ -]", "", match.group())) for match in _SPACED.finditer(text))
    if any(find_card_numbers(text)) or any(spaced):
        raise RefusedError("the message contains a card number and was not sent; see the runbook page notifications")
    return message


def _time(moment: datetime, zone: str) -> str:
    return moment.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S %Z")


def alert_message(
    key: str, alert: Alert, language: str, zone: str, dashboard: str, escalation: bool = False
) -> Message:
    """The message about one alert; `dashboard` is the address people reach it at, `zone` where they live.

    Raises:
        RefusedError: see `refuse_card_numbers`.
    """
    say = _translator(language)
    link = f"{dashboard}/alerts/{alert.alert_id}"
    values = {
        "level": say(f"level.{alert.level}"),
        "typology": say(f"typology.{alert.typology}"),
        "amount": f"{money(alert.amount, language)} {alert.currency}",
        "score": number(alert.score, language),
        "subject_kind": say(f"kind.{alert.subject_kind}").capitalize(),
        "subject": alert.subject,
        "time": _time(alert.event_time, zone),
        "reasons": alert.reasons,
        "escalation": escalation,
        "link": link,
        "key": key,
    }
    title, body = render("alert", language, values)
    data = {
        "kind": "alert",
        "alert_id": alert.alert_id,
        "level": alert.level,
        "typology": alert.typology,
        "score": alert.score,
        "amount": str(alert.amount),
        "currency": alert.currency,
        "subject_kind": alert.subject_kind,
        "subject": alert.subject,
        "event_time": alert.event_time.astimezone(UTC).isoformat(),
        "reasons": list(alert.reasons),
        "escalation": escalation,
    }
    return refuse_card_numbers(Message(key, title, body, link, escalation or alert.level in _URGENT, data))


def digest_message(key: str, alerts: Sequence[Alert], language: str, dashboard: str) -> Message:
    """One message about several alerts, the worst first.

    Raises:
        RefusedError: see `refuse_card_numbers`.
    """
    say = _translator(language)
    worst = sorted(alerts, key=lambda alert: (-alert.score, alert.detected_at, alert.alert_id))
    lines = [
        f"{number(a.score, language)}  {say(f'level.{a.level}')}, {say(f'typology.{a.typology}')},"
        f" {money(a.amount, language)} {a.currency}, {a.subject}"
        for a in worst[:_DIGEST_LINES]
    ]
    link = f"{dashboard}/queue"
    values = {
        "count": len(alerts),
        "score": number(worst[0].score, language),
        "lines": lines,
        "more": len(alerts) - len(lines),
        "link": link,
        "key": key,
    }
    title, body = render("digest", language, values)
    data = {"kind": "digest", "alert_ids": [alert.alert_id for alert in worst]}
    urgent = max(LEVELS.index(alert.level) for alert in alerts) >= LEVELS.index("high")
    return refuse_card_numbers(Message(key, title, body, link, urgent, data))


def ops_message(key: str, row: Mapping[str, Any], language: str, zone: str) -> Message:
    """The message about an operations alert; `row` is one of `fraud.ops_alerts`.

    Raises:
        RefusedError: see `refuse_card_numbers`.
    """
    page = f"docs/runbook/{row['page']}.md"
    values = {name: row[name] for name in ("severity", "title", "body")}
    title, body = render("ops", language, values | {"page": page, "time": _time(row["first_seen"], zone), "key": key})
    data = {"kind": "operations", "cause": row["key"], "severity": row["severity"], "page": page}
    return refuse_card_numbers(Message(key, title, body, "", row["severity"] == "critical", data))


def trial_message(key: str, language: str, dashboard: str) -> Message:
    """What `medallion notify test` sends."""
    title, body = render("test", language, {"link": dashboard, "key": key})
    return Message(key, title, body, dashboard, data={"kind": "test"})

"""What people read: both languages alike, in words, without card numbers; and recipients that stay secret."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jinja2 import meta

from fraud_domain.rules.errors import RuleError
from fraud_domain.settings import Settings
from medallion_services.notifier import messages, recipients, webpush
from medallion_services.notifier.backoff import RefusedError
from medallion_services.notifier.email import compose
from medallion_services.notifier.model import Alert, Message

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
NAMES = sorted(file.name for file in (messages.TEMPLATES / "en").glob("*.txt"))


def alert(**changes: Any) -> Alert:
    """An alert."""
    values: dict[str, Any] = {
        "alert_id": "abc123",
        "subject_kind": "customer",
        "subject": "cust-7",
        "typology": "pix_scam",
        "level": "critical",
        "score": 97.4,
        "amount": Decimal("14300.5000"),
        "currency": "BRL",
        "detected_at": NOW,
        "event_time": NOW,
        "reasons": ("PIX of 14,300.50 BRL to a key never used before",),
    }
    return Alert(**values | changes)


def told(**changes: Any) -> Message:
    """The message about it, in English."""
    return messages.alert_message("outbox-1", alert(**changes), "en", "UTC", "http://desk")


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_have_the_same_placeholders(name: str) -> None:
    def placeholders(language: str) -> set[str]:
        text = (messages.TEMPLATES / language / name).read_text(encoding="utf-8")
        return meta.find_undeclared_variables(messages.environment().parse(text))

    assert placeholders("en") == placeholders("pt")
    assert placeholders("en")


def test_there_are_no_templates_without_a_twin() -> None:
    assert sorted(file.name for file in (messages.TEMPLATES / "pt").glob("*.txt")) == NAMES


@pytest.mark.parametrize(
    ("language", "title", "parts"),
    [
        (
            "en",
            "[critical] PIX scam: 14,300.50 BRL, score 97",
            ("Customer: cust-7", "Time: 2026-03-04 09:00:00 -03", "Open the alert: http://desk/alerts/abc123"),
        ),
        (
            "pt",
            "[crítico] Golpe do PIX: 14.300,50 BRL, pontuação 97",
            ("Cliente: cust-7", "Hora: 2026-03-04 09:00:00 -03", "Abrir o alerta: http://desk/alerts/abc123"),
        ),
    ],
)
def test_an_alert_in_words(language: str, title: str, parts: tuple[str, ...]) -> None:
    message = messages.alert_message("outbox-7", alert(), language, "America/Sao_Paulo", "http://desk")
    assert message.title == title
    for part in (*parts, "- PIX of 14,300.50 BRL to a key never used before", "outbox-7"):
        assert part in message.body
    assert message.urgent
    assert "\n" not in message.title


@pytest.mark.parametrize("number", ["4111111111111111", "4111 1111 1111 1111", "5555-5555-5555-4444"])
@pytest.mark.parametrize("field", ["subject", "reasons"])
def test_a_card_number_is_never_sent(number: str, field: str) -> None:
    with pytest.raises(RefusedError) as refused:
        told(**{field: (f"card {number} was used",) if field == "reasons" else number})
    assert number not in str(refused.value)


def test_other_long_numbers_are_sent() -> None:
    assert told(reasons=("order 4111111111111112, since 1772625600000 ms",))


def test_a_digest_shows_the_worst_and_counts_the_rest() -> None:
    many = [alert(alert_id=f"a{n}", score=float(n), level="low" if n < 50 else "high") for n in range(60)]
    message = messages.digest_message("outbox-1", many, "en", "http://desk")
    assert message.title == "60 fraud alerts, highest score 59"
    assert message.body.count("\n- ") == 20
    assert "... and 40 more" in message.body
    assert len(message.data["alert_ids"]) == 60


def test_an_operations_alert_names_its_page() -> None:
    row = {"severity": "critical", "title": "T", "body": "B", "page": "stream-stopped", "first_seen": NOW, "key": "k"}
    assert "docs/runbook/stream-stopped.md" in messages.ops_message("outbox-1", row, "pt", "UTC").body


def test_a_subject_cannot_add_a_header_to_a_mail() -> None:
    message = told(subject="x\r\nBcc: evil@example")
    mail = compose(message, "medallion@bank.test", "team@bank.test", NOW)
    assert mail["Bcc"] is None
    assert mail["Message-ID"] == "<outbox-1@medallion>"
    with pytest.raises(RefusedError):
        compose(message, "medallion@bank.test", "team@bank.test\r\nBcc: evil@example", NOW)


def write(tmp_path: Path, text: str) -> Settings:
    """Settings with this secret file."""
    settings = Settings(data_dir=tmp_path)
    settings.secrets_dir.mkdir(parents=True)
    (settings.secrets_dir / recipients.FILE).write_text(text, encoding="utf-8")
    return settings


def test_recipients_are_found_by_name_and_never_shown(tmp_path: Path) -> None:
    found = recipients.read_recipients(
        write(tmp_path, "email: {team: t@bank.test}\nwebhook: {core: {url: https://x/s3cret, hmac_key: k3y}}\n")
    )
    assert found.email_address("team") == "t@bank.test"
    assert found.email_address("ana@bank.test") == "ana@bank.test"
    assert found.webhook_of("core").url.get_secret_value() == "https://x/s3cret"
    assert not {"s3cret", "k3y", "t@bank.test"} & {
        word for word in ("s3cret", "k3y", "t@bank.test") if word in repr(found)
    }
    with pytest.raises(RefusedError, match="no ntfy recipient 'oncall'"):
        found.ntfy_of("oncall")


def test_a_wrong_secret_file_says_the_line_and_not_the_value(tmp_path: Path) -> None:
    settings = write(tmp_path, "webhook:\n  core:\n    url: https://x/s3cret\n    hmac: k3y-value\n")
    with pytest.raises(RuleError) as wrong:
        recipients.read_recipients(settings)
    assert "notifications:4: webhook.core.hmac: " in str(wrong.value)
    assert "k3y-value" not in str(wrong.value)
    assert "s3cret" not in str(wrong.value)


def test_without_a_secret_file_nobody_is_known(tmp_path: Path) -> None:
    assert recipients.read_recipients(Settings(data_dir=tmp_path)) == recipients.Recipients()


def test_the_vapid_key_is_made_once_for_the_owner_only(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    settings.secrets_dir.mkdir(parents=True)
    webpush.ensure_vapid_key(settings)
    first = webpush.public_key(settings)
    webpush.ensure_vapid_key(settings)
    assert webpush.public_key(settings) == first
    assert len(first) == 87
    assert (settings.secrets_dir / webpush.VAPID_SECRET).stat().st_mode & 0o077 == 0


def test_a_push_fits_into_what_services_take() -> None:
    for letter in ("a", "ä", "\N{MONEY BAG}"):
        assert len(webpush.payload(told(reasons=(letter * 5_000,)))) < 3_900

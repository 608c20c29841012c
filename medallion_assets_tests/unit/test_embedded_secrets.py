"""Secrets: made once, random, for the owner's eyes only."""

import stat
from pathlib import Path

import pytest

from fraud_domain.settings import MissingSecretError, Settings
from medallion_services.embedded.secrets import ensure_secrets


def test_secrets_are_readable_by_the_owner_only(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    made = ensure_secrets(settings)
    assert len(made) == 8
    assert stat.S_IMODE(settings.secrets_dir.stat().st_mode) == 0o700
    assert {stat.S_IMODE((settings.secrets_dir / name).stat().st_mode) for name in made} == {0o600}


def test_existing_secrets_are_kept(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    ensure_secrets(settings)
    before = settings.token_key()
    assert ensure_secrets(settings) == ()
    assert settings.token_key() == before


def test_every_secret_is_different(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    values = {settings.secret(name) for name in ensure_secrets(settings)}
    assert len(values) == 8


def test_rotated_key_gets_a_file_of_its_own(tmp_path: Path) -> None:
    ensure_secrets(Settings(data_dir=tmp_path))
    assert ensure_secrets(Settings(data_dir=tmp_path, token_key_id="k2")) == ("token_key_k2",)


def test_password_of_an_external_administrator_is_not_invented(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, postgres={"host": "db.example"})
    assert "postgres_admin" not in ensure_secrets(settings)
    with pytest.raises(MissingSecretError):
        settings.secret("postgres_admin")

"""Settings: what can be set, what is said when it is wrong, and that no secret is ever among them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from fraud_domain.settings import Layout, MissingSecretError, Settings
from medallion_services.cli.errors import explain
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.secrets import ensure_secrets


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(data_dir=tmp_path)
    ensure_secrets(made)
    return made


def test_variables_change_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDALLION_KAFKA__BOOTSTRAP_SERVERS", "broker:9092")
    monkeypatch.setenv("MEDALLION_STREAMS__LAYOUT", "separate")
    settings = Settings()
    assert settings.kafka_bootstrap == "broker:9092"
    assert settings.streams.layout is Layout.SEPARATE


def test_one_laptop_needs_no_variable() -> None:
    settings = Settings()
    assert settings.kafka_bootstrap == f"127.0.0.1:{settings.kafka.port}"
    assert settings.postgres_host == settings.dagster.host == "127.0.0.1"
    assert settings.lake_root == f"{settings.data_dir}/lake"


def test_roots_have_no_trailing_slash() -> None:
    settings = Settings(lake_uri="s3a://bucket/lake/", checkpoint_uri="s3a://bucket/checkpoints/")
    assert (settings.lake_root, settings.checkpoint_root) == ("s3a://bucket/lake", "s3a://bucket/checkpoints")


@pytest.mark.parametrize("uri", ["/data/lake", "file:///data/lake/", "file:/data/lake"])
def test_a_root_on_this_machine_is_a_path_however_it_is_written(uri: str) -> None:
    settings = Settings(lake_uri=uri, checkpoint_uri=uri)
    assert settings.lake_root == settings.checkpoint_root == "/data/lake"


def test_secrets_are_in_no_text_and_no_environment(settings: Settings) -> None:
    secrets = [path.read_text().strip() for path in settings.secrets_dir.iterdir()]
    assert secrets
    environment = "\n".join(f"{k}={v}" for k, v in stack_environment(settings, base={}).items())
    key = settings.token_key()
    shown = f"{settings!r} {settings.model_dump_json()} {environment} {key!r}"
    assert [secret for secret in (*secrets, repr(key.secret)) if secret in shown] == []


def test_missing_secret_says_where_it_should_be(tmp_path: Path) -> None:
    with pytest.raises(MissingSecretError, match=rf"'postgres_fraud_writer' not found at {tmp_path}.*medallion up"):
        Settings(data_dir=tmp_path).postgres_parameters("fraud_writer")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("MEDALLION_KAFKA__PARTITIONS", "0", "greater than or equal to 1"),
        ("MEDALLION_STREAMS__LAYOUT", "three", "'shared', 'two' or 'separate'"),
        ("MEDALLION_KAFKA__PROT", "9092", "Extra inputs are not permitted"),
        ("MEDALLION_TOKEN_KEY_ID", "no spaces!", "pattern"),
    ],
)
def test_wrong_setting_is_named_with_its_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    message = explain(caught.value)
    assert message is not None
    assert f"{variable}={value!r}" in message
    assert says in message


def test_settings_do_not_change_while_running() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().kafka.port = 1  # type: ignore[misc]  # that it is refused is the point

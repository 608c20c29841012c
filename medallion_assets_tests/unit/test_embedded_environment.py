"""A child process resolves the settings of its parent and can be recognised."""

from pathlib import Path

import pytest

from fraud_domain.settings import Settings
from medallion_services.embedded.environment import MARKER, instance_id, settings_environment, stack_environment

CHANGED = {
    "kafka": {"port": 1234, "partitions": 5},
    "streams": {"layout": "separate", "bronze": {"interval": "3 seconds"}},
    "generator": {"enabled": False, "rate": 2.5},
    "lake_uri": "s3a://bucket/lake",
}


def test_child_resolves_the_settings_of_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = Settings(data_dir=tmp_path, **CHANGED)  # type: ignore[arg-type]
    for name, value in settings_environment(parent).items():
        monkeypatch.setenv(name, value)
    assert Settings() == parent


def test_setting_of_the_shell_does_not_override_the_one_passed_on(tmp_path: Path) -> None:
    environment = stack_environment(Settings(data_dir=tmp_path), base={"MEDALLION_KAFKA__PORT": "1", "HOME": "/home"})
    assert environment["MEDALLION_KAFKA__PORT"] != "1"
    assert environment["HOME"] == "/home"


def test_marker_names_the_data_directory(tmp_path: Path) -> None:
    one, other = Settings(data_dir=tmp_path / "one"), Settings(data_dir=tmp_path / "other")
    assert stack_environment(one)[MARKER] == instance_id(one)
    assert instance_id(one) != instance_id(other)


def test_chosen_java_is_found_first(tmp_path: Path) -> None:
    environment = stack_environment(Settings(data_dir=tmp_path), java_home=Path("/java"), base={"PATH": "/bin"})
    assert environment["JAVA_HOME"] == "/java"
    assert environment["PATH"].endswith("/java/bin:/bin")

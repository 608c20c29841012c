"""Which Java is chosen, why, and what the shim drops."""

import subprocess
from pathlib import Path

import pytest

from fraud_domain.settings import Settings
from medallion_services.embedded.java import Probe, find_java, parse_properties
from medallion_services.errors import UserError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def environment(tmp_path: Path) -> dict[str, str]:
    launcher = tmp_path / "jvm" / "bin" / "java"
    launcher.parent.mkdir(parents=True)
    launcher.touch(mode=0o755)
    return {"JAVA_HOME": str(tmp_path / "jvm"), "PATH": "/nowhere"}


def test_installed_java_is_preferred(settings: Settings, tmp_path: Path) -> None:
    java = find_java(settings, environment=environment(tmp_path), ask=lambda path: Probe(path.parent.parent, 21))
    assert java.home == tmp_path / "jvm"
    assert java.reason == "Java 21 from JAVA_HOME"


def test_unsupported_java_gives_way_to_the_bundled_one(settings: Settings, tmp_path: Path) -> None:
    bundled = tmp_path / "bundled" / "bin" / "java"

    def ask(path: Path) -> Probe:
        return Probe(path.parent.parent, 21 if path == bundled else 11)

    java = find_java(settings, environment=environment(tmp_path), ask=ask, bundled=lambda: bundled)
    assert java.home == settings.run_dir / "java"
    assert "JAVA_HOME is Java 11" in java.reason


def test_no_java_at_all_says_what_to_install(settings: Settings) -> None:
    with pytest.raises(UserError, match="Install Java 17 or 21, or set JAVA_HOME"):
        find_java(settings, environment={"PATH": "/nowhere"}, bundled=lambda: None)


def test_shim_drops_only_the_module_that_the_bundled_java_lacks(settings: Settings, tmp_path: Path) -> None:
    bundled = tmp_path / "bundled" / "bin" / "java"
    bundled.parent.mkdir(parents=True)
    bundled.write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    bundled.chmod(0o755)
    java = find_java(
        settings, environment={"PATH": "/nowhere"}, ask=lambda path: Probe(path, 21), bundled=lambda: bundled
    )
    arguments = ["-Xmx1g", "--add-modules=jdk.incubator.vector", "a b", "", "--add-modules=java.sql", "*"]
    answer = subprocess.run([java.executable, *arguments], capture_output=True, text=True, check=True)
    assert answer.stdout == "<-Xmx1g><a b><><--add-modules=java.sql><*>"


def test_java_describes_itself() -> None:
    text = "    java.home = /opt/java 21\n    java.specification.version = 21\n"
    assert parse_properties(text) == Probe(Path("/opt/java 21"), 21)
    assert parse_properties("java: not found") is None

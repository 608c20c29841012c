"""What the hosting service runs is what everybody can run: make targets, pinned actions, few rights."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fraud_domain.settings import PROJECT_ROOT
from medallion_services.doctor.installation import PYTHONS
from medallion_services.embedded.java import SUPPORTED

GITHUB = PROJECT_ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
MAKEFILE = (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
files = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)

WRITES = {
    ("release.yml", "build"): {"id-token", "attestations"},
    ("release.yml", "publish"): {"contents"},
}
"""Jobs that may write, and what."""


def load(path: Path) -> dict[Any, Any]:
    """A YAML file."""
    document: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    """Jobs of a workflow by name."""
    found: dict[str, dict[str, Any]] = load(path)["jobs"]
    return found


def steps(path: Path) -> Iterator[dict[str, Any]]:
    """Every step of a workflow."""
    for job in jobs(path).values():
        yield from job["steps"]


def test_there_is_a_workflow_for_changes_nights_and_releases() -> None:
    assert {path.name for path in WORKFLOWS} == {"ci.yml", "nightly.yml", "release.yml"}


@files
def test_every_command_is_a_make_target(path: Path) -> None:
    commands = [line for step in steps(path) for line in step.get("run", "").splitlines()]
    assert commands
    for command in commands:
        program, *targets = command.split()
        assert program == "make", command
        assert targets
        assert set(targets) <= TARGETS, command


@files
def test_every_action_is_pinned_by_commit_with_its_version_beside_it(path: Path) -> None:
    lines = re.findall(r"uses: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert lines
    for line in lines:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_an_action_has_the_same_pin_everywhere() -> None:
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for step in steps(path):
            if "uses" in step:
                name, pin = step["uses"].split("@")
                pins.setdefault(name, set()).add(pin)
    assert all(len(found) == 1 for found in pins.values()), pins


@files
def test_jobs_may_only_read_unless_they_must_write(path: Path) -> None:
    assert load(path)["permissions"] == {"contents": "read"}
    for name, job in jobs(path).items():
        writes = {what for what, right in job.get("permissions", {}).items() if right == "write"}
        assert writes == WRITES.get((path.name, name), set()), name


@files
def test_no_job_runs_for_ever_and_no_two_runs_collide(path: Path) -> None:
    assert load(path)["concurrency"]["group"]
    assert all(job["timeout-minutes"] <= 360 for job in jobs(path).values())


@files
def test_no_token_is_left_in_a_checkout(path: Path) -> None:
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@files
def test_uv_is_the_version_of_the_makefile(path: Path) -> None:
    (version,) = re.findall(r"^UV_VERSION := (\S+)", MAKEFILE, re.MULTILINE)
    installed = [step["with"]["version"] for step in steps(path) if "setup-uv" in step.get("uses", "")]
    assert installed
    assert set(installed) == {version}


def test_every_supported_python_is_tested_on_every_supported_java() -> None:
    matrix = jobs(GITHUB / "workflows" / "ci.yml")["test"]["strategy"]["matrix"]
    assert matrix["python"] == [f"{major}.{minor}" for major, minor in PYTHONS]
    assert matrix["java"] == [str(release) for release in SUPPORTED]


def test_updates_are_proposed_for_everything_that_is_pinned() -> None:
    updates = load(GITHUB / "dependabot.yml")["updates"]
    assert {each["package-ecosystem"] for each in updates} == {"uv", "github-actions", "docker", "docker-compose"}
    for each in updates:
        assert (PROJECT_ROOT / each["directory"].strip("/")).is_dir()


@pytest.mark.parametrize("name", ["bug", "proposal"])
def test_issue_forms_have_what_the_service_demands(name: str) -> None:
    form = load(GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml")
    assert form["name"]
    assert form["description"]
    fields = [each for each in form["body"] if each["type"] != "markdown"]
    assert len({each["id"] for each in fields}) == len(fields)
    assert all(each["attributes"]["label"] for each in fields)


def test_commit_hooks_run_the_tools_of_make_check() -> None:
    (recipe,) = re.findall(r"^check:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    tools = set(re.findall(r"\$\(RUN\) (\S+)", recipe))
    (repository,) = load(PROJECT_ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    hooks = [hook["entry"].split() for hook in repository["hooks"]]
    assert all(entry[:3] == ["uv", "run", "--no-sync"] for entry in hooks if entry[1] != "lock")
    # Tests are left to `make check`: a commit should take seconds.
    assert {entry[3] for entry in hooks if entry[1] == "run"} == tools - {"pytest"}
    development = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    names = {re.split(r"[>=<]", each)[0] for each in development["dev"]}
    assert {"codespell", "deptry", "detect-secrets", "mypy", "ruff", "zizmor"} <= names

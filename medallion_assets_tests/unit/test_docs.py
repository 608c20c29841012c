"""The pages tell the truth: names, links, commands, tests, settings, examples."""

import inspect
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup

from fraud_domain.acceptance import Acceptance
from fraud_domain.rules import Reason, check_fixtures, load_catalogue
from fraud_domain.settings import PROJECT_ROOT, Settings
from fraud_domain.streams import STREAMS, applications
from fraud_domain.tables import TABLES, Store, table
from fraud_domain.topics import TOPICS
from medallion_assets.defs.streams.decide import Kind
from medallion_assets_tests.pages import setting_names
from medallion_services.cli import app
from medallion_services.embedded.secrets import ensure_secrets
from spark_jobs import failpoints

DOCS = PROJECT_ROOT / "docs"
PAGES = sorted([*PROJECT_ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(PROJECT_ROOT / "deploy").glob("*.md")])
names = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_ROOT)))


def text(name: str) -> str:
    """A page."""
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """Fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def code(page: str) -> Iterator[str]:
    """Everything that is set as code: fenced blocks line by line, and what is between backticks."""
    for block in re.findall(r"```[a-z]*\n(.*?)```", page, re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page, flags=re.DOTALL))


def anchors(page: Path) -> set[str]:
    """What a link may point to inside a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@names
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        # Pictures are taken of a running platform.
        if "pictures" in target.parts and not any((DOCS / "pictures").glob("*.png")):
            continue
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [PROJECT_ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        for link in re.findall(r"\]\(([^)#]+\.md)", page.read_text(encoding="utf-8")):
            target = (page.parent / link).resolve()
            if "://" not in link and target not in seen:
                waiting.append(target)
    assert set(PAGES) <= seen


@pytest.mark.parametrize("name", [spec.full_name for spec in TABLES])
def test_architecture_names_every_table_with_its_stream_and_key(name: str) -> None:
    spec = table(name)
    assert f"| `{name}` | {spec.stream} | {', '.join(spec.key)} |" in text("architecture.md")


def test_architecture_names_no_table_that_is_not_there() -> None:
    layers = "|".join({spec.layer for spec in TABLES})
    found = re.findall(rf"^\| `((?:{layers})\.\w+)` \|", text("architecture.md"), re.MULTILINE)
    assert sorted(found) == sorted(spec.full_name for spec in TABLES)


def test_architecture_names_topics_streams_queries_and_layouts() -> None:
    page = text("architecture.md")
    for topic in TOPICS:
        assert f"| `{topic.name}` |" in page
    for stream in STREAMS:
        queries = ", ".join(f"`{stream.name}.{query}`" for query in stream.queries)
        assert f"| `{stream.name}` | `{stream.script}` | {queries} |" in page
    for layout in Settings().streams.layout.__class__:
        assert f"| `{layout.value}`" in page
        assert applications(layout)


def flow() -> set[tuple[str, str]]:
    """Who reads and writes what, by the registries: topics, streams, and the schemas of PostgreSQL."""
    edges = {(topic.stream, topic.name) for topic in TOPICS if topic.stream}
    for spec in (spec for spec in TABLES if spec.stream in {stream.name for stream in STREAMS}):
        sources = [
            name.removeprefix("kafka.") if name.startswith("kafka.") else table(name).stream for name in spec.upstream
        ]
        edges |= {(source, spec.stream) for source in sources if source != spec.stream}
        if spec.store is Store.POSTGRES:
            edges.add((spec.stream, f"postgresql.{spec.layer}"))
    return edges


def test_the_picture_of_the_architecture_is_true() -> None:
    (picture,) = re.findall(r"```mermaid\n(.+?)```", text("architecture.md"), re.DOTALL)
    drawn = {(source, target) for source, target in re.findall(r"^ *([\w.]+).* --> ([\w.]+)", picture, re.MULTILINE)}
    unwritten = {topic.name for topic in TOPICS if not topic.stream}
    assert {edge for edge in drawn if edge[0] != "producers"} == flow()
    assert {target for source, target in drawn if source == "producers"} == unwritten


def command_tree(group: TyperGroup, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every command and group by its words."""
    found: dict[tuple[str, ...], Any] = {path: group}
    for name, command in group.commands.items():
        words = (*path, name)
        found |= command_tree(command, words) if isinstance(command, TyperGroup) else {words: command}
    return found


COMMANDS = command_tree(typer.main.get_group(app))


def unknown_words(line: str) -> str:
    """What is wrong with a `medallion ...` line; empty when nothing is."""
    words = line.split()[1:]
    path: tuple[str, ...] = ()
    while words and (*path, words[0]) in COMMANDS:
        path = (*path, words.pop(0))
    command = COMMANDS[path]
    if not path or isinstance(command, TyperGroup):
        return "" if not words or words[0] == "--help" else f"no command '{' '.join((*path, words[0]))}'"
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return next((f"no option {word}" for word in words if word.startswith("-") and word not in options), "")


@names
def test_commands_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for line in code(page.read_text(encoding="utf-8")):
        words = re.sub(r"^([A-Z_]+=\S+ )+", "", line.split(" #")[0].strip())
        for part in re.split(r" && |; ", words):
            if part.startswith("make "):
                assert part.split()[1] in targets, part
            if part.startswith("medallion "):
                assert unknown_words(part) == "", part
            if module := re.match(r"python -m ([\w.]+)", part):
                path = PROJECT_ROOT / module.group(1).replace(".", "/")
                assert (path / "__main__.py").exists() or path.with_suffix(".py").exists(), part
            if part.startswith("pytest ") and len(part.split()) > 1:
                assert (PROJECT_ROOT / part.split()[1]).exists(), part


def test_an_invented_command_is_noticed() -> None:
    assert unknown_words("medallion fly") != ""
    assert unknown_words("medallion streams fly") != ""
    assert unknown_words("medallion up --fly") != ""
    assert unknown_words("medallion streams stop alerts --reason x") == ""


DEFINED = {
    name
    for file in (PROJECT_ROOT / "medallion_assets_tests").rglob("test_*.py")
    for name in (*re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE), file.name)
}


@names
def test_tests_that_hold_a_promise_exist(page: Path) -> None:
    for name in code(page.read_text(encoding="utf-8")):
        if re.fullmatch(r"test_\w+(\.py)?", name):
            assert name in DEFINED, f"{name} is no test"


@names
def test_settings_exist(page: Path) -> None:
    own = {"MEDALLION_SUPERVISOR", failpoints.VARIABLE, failpoints.LOG_VARIABLE}
    for name in re.findall(r"\bMEDALLION_[A-Z0-9_]*[A-Z0-9]", page.read_text(encoding="utf-8")):
        assert name in setting_names() | own, f"{name} is no setting"


@names
def test_no_path_of_a_machine_is_in_a_page(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(work|root|home)/", page.read_text(encoding="utf-8"))


def test_adrs_are_numbered_without_gap_and_have_their_four_parts() -> None:
    pages = sorted((DOCS / "adr").glob("0*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        content = page.read_text(encoding="utf-8")
        assert content.startswith(f"# {int(page.name[:4])}. ")
        for part in ("Context", "Decision", "Measurement", "Consequence"):
            assert f"**{part}.**" in content, f"{page.name} lacks {part}"


def test_rule_of_the_page_stands_beside_the_catalogue_and_its_fixtures_hold(tmp_path: Path) -> None:
    shipped = Settings().rules.directory
    directory = tmp_path / "rules"
    directory.mkdir()
    for file in shipped.glob("*.yaml"):
        (directory / file.name).write_bytes(file.read_bytes())
    (example,) = blocks(text("add-a-rule.md"), "yaml")
    assert not (directory / "cash_out.yaml").exists()
    (directory / "cash_out.yaml").write_text(example, encoding="utf-8")
    catalogue = load_catalogue(directory)
    assert len(catalogue.rules) == len(load_catalogue(shipped).rules) + 1
    assert check_fixtures(catalogue) == []


def test_every_field_of_an_alert_is_explained() -> None:
    page = text("read-an-alert.md")
    for name in (*table("alerts.alerts").column_names, *inspect.signature(Reason).parameters):
        assert f"`{name}`" in page, name


def test_every_reason_code_and_every_move_of_the_guard_is_in_the_runbook() -> None:
    source = (PROJECT_ROOT / "spark_jobs" / "contract.py").read_text(encoding="utf-8")
    for name in set(re.findall(r'"([A-Z]+(?:_[A-Z0-9]+)+)"', source)):
        assert f"`{name}`" in text("runbook/quarantine.md"), name
    pages = text("runbook/stream-stopped.md")
    for kind in set(Kind) - {Kind.START, Kind.HEALTHY, Kind.STOP}:
        assert f"`{kind.value}`" in pages, kind


@names
def test_python_of_the_pages_compiles(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8"), "python"):
        compile(block, str(page), "exec")


def test_event_of_the_page_meets_the_contract_and_is_keyed_by_customer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, str, str]] = []

    class Producer:
        def __init__(self, configuration: dict[str, object]) -> None:
            assert configuration["bootstrap.servers"]

        def produce(self, topic: str, key: str, value: str) -> None:
            sent.append((topic, key, value))

        def flush(self) -> None:
            return None

    fake = types.ModuleType("confluent_kafka")
    fake.__dict__["Producer"] = Producer
    monkeypatch.setitem(sys.modules, "confluent_kafka", fake)
    monkeypatch.setenv("MEDALLION_DATA_DIR", str(tmp_path))
    ensure_secrets(Settings())
    (example,) = blocks(text("bring-your-own-data.md"), "python")
    exec(compile(example, "bring-your-own-data.md", "exec"), {})  # noqa: S102
    ((topic, key, value),) = sent
    now_us = 4_102_444_800_000_000
    event = Acceptance(future_tolerance_us=0).accept(value.encode(), now_us)
    assert topic == "transactions"
    assert event is not None
    assert event["customer_id"] == key
    assert event["card_token"].startswith("tok_k1_")

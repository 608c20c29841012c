"""Provisioning over real HTTP: everything is made once, a second run writes nothing, people's work stays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from fraud_domain.settings import Settings
from medallion_assets_tests.metabase_server import State, served
from medallion_services.cli import app
from medallion_services.embedded.ports import free_ports
from medallion_services.embedded.secrets import ensure_secrets, write_once
from medallion_services.errors import UserError
from medallion_services.metabase.loading import DIRECTORY, load
from medallion_services.metabase.payloads import marker
from medallion_services.metabase.provision import SECRET, Outcome, provision

DASHBOARDS = load()
CARDS = sum(len(each.cards) for each in DASHBOARDS)


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def settings(state: State, tmp_path: Path) -> Iterator[Settings]:
    with served(state) as url:
        made = Settings.model_validate({"data_dir": tmp_path / "data", "metabase": {"url": url}})
        ensure_secrets(made)
        write_once(made.secrets_dir / SECRET)
        yield made


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy of the files, to be changed."""
    directory = tmp_path / "files"
    directory.mkdir()
    for file in DIRECTORY.glob("*.yaml"):
        (directory / file.name).write_bytes(file.read_bytes())
    return directory


def run(settings: Settings, directory: Path = DIRECTORY, **more: Any) -> Outcome:
    """One run."""
    return provision(settings, load(directory), wait_seconds=30, **more)


def change(directory: Path, name: str, edit: Any) -> None:
    """Change a file."""
    file = directory / f"{name}.yaml"
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    edit(document)
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def number_of(kind: dict[int, dict[str, Any]], key: str) -> int:
    """Id of what carries a key."""
    (found,) = [number for number, each in kind.items() if (marker(each["description"]) or ("", ""))[0] == key]
    return found


def test_everything_is_made_once_and_a_second_run_writes_nothing(settings: Settings, state: State) -> None:
    state.unhealthy_for = 1
    first = run(settings)
    assert len(first.created) == 3 + CARDS + len(DASHBOARDS)
    assert list(state.users) == [settings.metabase.email]
    assert len(state.cards) == CARDS
    (database,) = state.databases.values()
    assert database["details"]["user"] == "fraud_reader"
    assert database["details"]["host"] == settings.postgres_host
    assert list(state.passwords.values()) == [settings.secret("postgres_fraud_reader")]
    for dashboard in DASHBOARDS:
        made = state.dashboards[number_of(state.dashboards, dashboard.key)]
        assert len(made["dashcards"]) == len(dashboard.cards)
        assert {each["slug"] for each in made["parameters"]} == {each.key for each in dashboard.parameters}
    before = len(state.writes)
    second = run(settings)
    assert state.writes[before:] == []
    assert second.created == second.updated == second.orphans == []
    assert second.unchanged == 2 + CARDS + len(DASHBOARDS)
    assert second.addresses == first.addresses
    assert second.addresses["Fraud, real time"].endswith("#refresh=60")


def test_a_changed_file_updates_just_that_card(settings: Settings, state: State, files: Path) -> None:
    run(settings, files)
    before = len(state.writes)
    change(files, "streams", lambda d: d["cards"][0].update(title="Streams at this moment"))
    done = run(settings, files)
    number = number_of(state.cards, "streams/health")
    assert done.updated == ["card streams/health"]
    assert state.writes[before:] == [f"PUT /api/card/{number}"]
    assert state.cards[number]["name"] == "Streams at this moment"


def test_a_new_card_is_placed_and_a_dropped_one_is_taken_off_but_kept(
    settings: Settings, state: State, files: Path
) -> None:
    run(settings, files)
    dropped = number_of(state.cards, "streams/health")
    cards = {number: each["name"] for number, each in state.cards.items()}
    change(files, "streams", lambda d: d["cards"][0].update(key="health_now"))
    done = run(settings, files)
    assert done.created == ["card streams/health_now"]
    assert done.updated == ["dashboard streams"]
    assert done.orphans == ["card streams/health"]
    assert cards.items() <= {number: each["name"] for number, each in state.cards.items()}.items()
    made = state.dashboards[number_of(state.dashboards, "streams")]
    placed = [each["card_id"] for each in made["dashcards"]]
    assert number_of(state.cards, "streams/health_now") in placed
    assert dropped not in placed


def test_what_people_made_stays(settings: Settings, state: State, files: Path) -> None:
    run(settings, files)
    number = number_of(state.dashboards, "streams")
    collection = state.dashboards[number]["collection_id"]
    query = {"database": 1, "native": {"query": "SELECT 1", "template-tags": {}}}
    theirs = state.add(
        state.cards,
        {"name": "Mine", "description": None, "display": "table", "collection_id": collection, "dataset_query": query},
    )
    place = {"row": 90, "col": 0, "size_x": 4, "size_y": 3, "parameter_mappings": []}
    text = {"id": next(state.numbers), "card_id": None, "visualization_settings": {"text": "Ask Ana"}} | place
    state.dashboards[number]["dashcards"] += [{"id": next(state.numbers), "card_id": theirs["id"]} | place, text]
    tabs = [{"id": next(state.numbers), "name": "Ours"}, {"id": next(state.numbers), "name": "Mine"}]
    theirs_of_filters = {"id": "0badcafe", "slug": "mine", "name": "Mine", "type": "string/="}
    state.dashboards[number]["tabs"] = tabs
    state.dashboards[number]["parameters"].append(theirs_of_filters)
    for each in state.dashboards[number]["dashcards"]:
        each["dashboard_tab_id"] = tabs[1]["id"]
    mapping = {"parameter_id": "0badcafe", "card_id": 1, "target": []}
    state.dashboards[number]["dashcards"][0]["parameter_mappings"].append(mapping)
    state.dashboards[number]["dashcards"][0]["visualization_settings"] = {"card.title": "Mine"}
    kept = [dict(each) for each in state.dashboards[number]["dashcards"]]
    renamed = state.cards[number_of(state.cards, "streams/lag")]
    renamed["name"] = "Called otherwise"
    change(files, "streams", lambda d: d.update(title="Streams of ours"))
    done = run(settings, files)
    assert done.updated == ["dashboard streams"]
    assert done.orphans == []
    assert state.dashboards[number]["name"] == "Streams of ours"
    assert sorted(each["id"] for each in state.dashboards[number]["dashcards"]) == sorted(each["id"] for each in kept)
    found = {each["id"]: each for each in state.dashboards[number]["dashcards"]}
    assert text.items() <= found[text["id"]].items()
    assert {each["dashboard_tab_id"] for each in found.values()} == {tabs[1]["id"]}
    assert state.dashboards[number]["tabs"] == tabs
    assert theirs_of_filters in state.dashboards[number]["parameters"]
    assert mapping in found[kept[0]["id"]]["parameter_mappings"]
    assert found[kept[0]["id"]]["visualization_settings"] == {"card.title": "Mine"}
    assert theirs["id"] in state.cards
    assert renamed["name"] == "Called otherwise"
    assert not any(each.startswith("DELETE") for each in state.writes)


def test_a_card_in_the_bin_is_made_anew_and_placed(settings: Settings, state: State) -> None:
    run(settings)
    state.cards[number_of(state.cards, "streams/lag")]["archived"] = True
    done = run(settings)
    assert done.created == ["card streams/lag"]
    assert done.updated == ["dashboard streams"]
    placed = [each["card_id"] for each in state.dashboards[number_of(state.dashboards, "streams")]["dashcards"]]
    assert max(state.cards) in placed


def test_a_run_that_failed_on_the_way_is_continued(settings: Settings, state: State) -> None:
    state.fail_at = "PUT /api/dashboard"
    with pytest.raises(UserError, match=r"refuses PUT /api/dashboard/\d+ \(500\)"):
        run(settings)
    state.fail_at = ""
    done = run(settings)
    assert len(state.cards) == CARDS
    assert len(state.dashboards) == len(DASHBOARDS)
    assert done.updated == [f"dashboard {DASHBOARDS[0].key}"]
    before = len(state.writes)
    run(settings)
    assert state.writes[before:] == []


def test_a_new_password_of_the_reader_is_sent_when_asked_for(settings: Settings, state: State) -> None:
    run(settings)
    (settings.secrets_dir / "postgres_fraud_reader").write_text("another", encoding="utf-8")
    assert run(settings).updated == []
    assert run(settings, renew_password=True).updated == ["database Medallion"]
    assert list(state.passwords.values()) == ["another"]


def test_a_database_that_moved_is_told(settings: Settings, state: State) -> None:
    run(settings)
    moved = settings.model_copy(update={"postgres": settings.postgres.model_copy(update={"host": "db.internal"})})
    assert run(moved).updated == ["database Medallion"]
    assert next(iter(state.databases.values()))["details"]["host"] == "db.internal"


def test_command_makes_the_password_and_says_what_it_did(
    settings: Settings, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = settings.secrets_dir / SECRET
    secret.unlink()
    monkeypatch.setenv("MEDALLION_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("MEDALLION_METABASE__URL", settings.metabase.url)
    done = CliRunner().invoke(app, ["metabase", "provision", "--wait", "30"])
    assert done.exit_code == 0, done.output
    password = settings.secret(SECRET)
    assert secret.stat().st_mode & 0o777 == 0o600
    assert list(state.users.values()) == [password]
    assert password not in done.output
    assert f"{3 + CARDS + len(DASHBOARDS)} created, 0 updated, 0 unchanged" in done.stdout
    secret.write_text("wrong", encoding="utf-8")
    refused = CliRunner().invoke(app, ["metabase", "provision"])
    assert refused.exit_code == 1
    assert "does not let admin@medallion.example in" in refused.stderr
    assert "wrong" not in refused.stderr


def test_no_metabase_is_a_message(settings: Settings) -> None:
    (port,) = free_ports(1)
    nowhere = settings.model_copy(
        update={"metabase": settings.metabase.model_copy(update={"url": f"http://127.0.0.1:{port}"})}
    )
    with pytest.raises(UserError, match="is not healthy after 0 s"):
        provision(nowhere, DASHBOARDS, wait_seconds=0)

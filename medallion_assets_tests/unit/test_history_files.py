"""Files of other people for a load of history: the same rows as a replay, the same bytes and name each time."""

import gzip
import itertools
import json
import os
from pathlib import Path

import orjson
import pytest

from fraud_domain.acceptance import Acceptance
from fraud_domain.cards import TokenKey
from fraud_domain.settings import PROJECT_ROOT, Settings
from medallion_services.errors import UserError
from medallion_services.history_files import Mapped, contract_files
from medallion_services.mapping.loading import load_mapping
from medallion_services.mapping.opening import open_file

SAMPLES = PROJECT_ROOT / "samples"
MAPPING = load_mapping(SAMPLES / "european_cards.mapping.yaml")
OLD = 1_700_000_000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two files of a hundred rows each; one row of the second has no amount."""
    with gzip.open(SAMPLES / "european_cards.csv.gz", "rt", encoding="utf-8") as file:
        header, *rows = itertools.islice(file, 201)
    folder = tmp_path / "export"
    folder.mkdir()
    cells = rows[150].split(";")
    cells[header.split(";").index("Amount")] = ""
    rows[150] = ";".join(cells)
    for name, part in (("b.csv", rows[100:]), ("a.csv", rows[:100])):
        (folder / name).write_text(header + "".join(part), encoding="utf-8")
        os.utime(folder / name, (OLD, OLD))
    (folder / "notes.txt").write_text("no data", encoding="utf-8")
    return folder


def made(tmp_path: Path, source: Path) -> Mapped:
    return contract_files(Settings(data_dir=tmp_path / "data"), source, MAPPING, lambda: TokenKey("k1", b"k" * 32))


def test_each_file_becomes_json_lines_of_the_contract(tmp_path: Path, source: Path) -> None:
    mapped = made(tmp_path, source)
    assert sorted(path.name for path in mapped.folder.iterdir()) == ["0000.jsonl", "0001.jsonl"]
    lines = [line for name in ("0000.jsonl", "0001.jsonl") for line in (mapped.folder / name).read_bytes().splitlines()]
    refused = [json.loads(line) for line in mapped.rejected.read_text(encoding="utf-8").splitlines()]
    assert (mapped.accepted, sum(mapped.reasons.values())) == (len(lines), len(refused))
    assert len(lines) + len(refused) == 200
    assert [each["field"] for each in refused if each["line"] == 52] == ["amount"]
    acceptance = Acceptance(0)
    assert all(acceptance.accept(line, 10**18) for line in lines)
    with open_file(source / "a.csv", MAPPING) as file:
        replayed = [row.value for row in file.accepted(lambda: TokenKey("k1", b"k" * 32), lambda _: None)]
    assert lines[: len(replayed)] == replayed
    assert not any("label" in orjson.loads(line) for line in lines)
    assert (mapped.folder / "0000.jsonl").stat().st_mtime == OLD


def test_the_same_files_are_the_same_load_and_others_another(tmp_path: Path, source: Path) -> None:
    first = made(tmp_path, source)
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    (first.folder.with_name(f"{first.folder.name}.part")).mkdir()
    again = made(tmp_path, source)
    assert again.folder == first.folder
    assert {path.name: path.read_bytes() for path in again.folder.iterdir()} == before
    (source / "a.csv").unlink()
    assert made(tmp_path, source).folder != first.folder


def test_a_directory_without_data_is_told(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x", encoding="utf-8")
    with pytest.raises(UserError, match="no file of a known format"):
        made(tmp_path, tmp_path)

"""What the checkpoint doctor finds and does: every damage of a checkpoint, on files made as Spark makes them."""

import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from medallion_services.checkpoints.judging import Remedy, Sinks, judge, remedy_of
from medallion_services.checkpoints.reading import Condition, condition_of, read_checkpoint
from medallion_services.checkpoints.repair import repair

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
GENERATION = "0cabdd22-5f66-4024-94c5-ffaf509a666a"
HELD = Sinks(has_rows=True, generation=GENERATION, newest_batch=3)
NEWEST = 3


def write(path: Path, content: bytes) -> None:
    """A file with its checksums, as Hadoop's local file system writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    sums = [zlib.crc32(content[at : at + 512]) for at in range(0, len(content), 512)]
    path.with_name(f".{path.name}.crc").write_bytes(b"crc\x00" + struct.pack(f">i{len(sums)}I", 512, *sums))


def a_checkpoint(path: Path, committed: bool = True) -> Path:
    """Batches 0 to 3 of a stateful query; the last one committed or under way."""
    write(path / "metadata", json.dumps({"id": GENERATION}).encode())
    for batch in range(NEWEST + 1):
        write(path / "offsets" / str(batch), b'v1\n{"batchWatermarkMs":0}\n{"transactions":{"0":%d}}' % (batch * 10))
        if committed or batch < NEWEST:
            write(path / "commits" / str(batch), b'v1\n{"nextBatchWatermarkMs":0}')
    for partition in "01":
        store = path / "state" / "0" / partition
        for version in range(1, NEWEST + (2 if committed else 1)):
            write(store / f"{version}.changelog", b"x" * 600)
        write(store / "SSTs" / "000008-a.sst", b"rows")
        with zipfile.ZipFile(store / "2.zip", "w") as archive:
            archive.writestr("metadata", 'v1\n{"sstFiles":[{"dfsSstFileName":"000008-a.sst"}]}')
    write(path / "state" / "0" / "_metadata" / "metadata", b"v1\n{}")
    return path


def flip(path: Path) -> None:
    """One bit of a file, its length unchanged."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def empty(path: Path) -> None:
    """A file of no bytes, as a full disk or a crash leaves it."""
    path.write_bytes(b"")


Damage = Callable[[Path], None]
DAMAGES: dict[str, tuple[Damage, bool, Sinks, Remedy]] = {
    "nothing": (lambda c: None, True, HELD, Remedy.NOTHING),
    "an old entry": (lambda c: empty(c / "offsets/0"), True, HELD, Remedy.NOTHING),
    "metadata gone": (lambda c: (c / "metadata").unlink(), True, HELD, Remedy.REPAIR),
    "metadata gone, no sink knows it": (lambda c: (c / "metadata").unlink(), True, Sinks(True), Remedy.REBASE),
    "newest commit empty": (lambda c: empty(c / "commits/3"), True, HELD, Remedy.REPAIR),
    "newest commit flipped": (lambda c: flip(c / "commits/3"), True, HELD, Remedy.REPAIR),
    "offsets empty before anything was written": (
        lambda c: empty(c / "offsets/3"),
        False,
        Sinks(True, GENERATION, 2),
        Remedy.REPAIR,
    ),
    "offsets empty, a table holds the batch": (lambda c: empty(c / "offsets/3"), False, HELD, Remedy.REBASE),
    "offsets of a committed batch empty": (lambda c: empty(c / "offsets/3"), True, HELD, Remedy.REBASE),
    "offsets of a committed batch gone": (lambda c: (c / "offsets/3").unlink(), True, HELD, Remedy.REBASE),
    "offsets before the newest, batch done": (lambda c: empty(c / "offsets/2"), True, HELD, Remedy.REPAIR),
    "offsets before the newest, batch under way": (lambda c: empty(c / "offsets/2"), False, HELD, Remedy.REBASE),
    "newest state flipped, one before whole": (
        lambda c: flip(c / "state/0/1/4.changelog"),
        True,
        HELD,
        Remedy.REPAIR,
    ),
    "state of a batch that Spark went on from": (
        lambda c: flip(c / "state/0/1/3.changelog"),
        False,
        Sinks(True, GENERATION, 2),
        Remedy.REPAIR,
    ),
    "the same, and a sink holds the batch under way": (
        lambda c: flip(c / "state/0/1/3.changelog"),
        False,
        HELD,
        Remedy.REBASE,
    ),
    "state empty in the middle": (lambda c: empty(c / "state/0/1/3.changelog"), True, HELD, Remedy.REBASE),
    "a file of the snapshot gone, changelogs whole": (
        lambda c: (c / "state/0/0/SSTs/000008-a.sst").unlink(),
        True,
        HELD,
        Remedy.NOTHING,
    ),
    "operator's description flipped": (lambda c: flip(c / "state/0/_metadata/metadata"), True, HELD, Remedy.REBASE),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_found_and_gets_its_remedy(name: str, tmp_path: Path) -> None:
    damage, committed, sinks, remedy = DAMAGES[name]
    path = a_checkpoint(tmp_path / "decide", committed)
    damage(path)
    findings = judge(read_checkpoint(path), sinks)
    assert remedy_of(findings) is remedy, findings
    assert all(f.what and f.meaning and str(tmp_path) in str(f.path) for f in findings)


@pytest.mark.parametrize("name", [n for n, (_, _, _, remedy) in DAMAGES.items() if remedy is Remedy.REPAIR])
def test_a_repaired_checkpoint_is_whole_and_the_damaged_files_are_kept(name: str, tmp_path: Path) -> None:
    damage, committed, sinks, _ = DAMAGES[name]
    path = a_checkpoint(tmp_path / "decide", committed)
    damage(path)
    checkpoint = read_checkpoint(path)
    assert repair(checkpoint, judge(checkpoint, sinks), sinks, NOW)
    after = read_checkpoint(path)
    assert remedy_of(judge(after, sinks)) is Remedy.NOTHING
    assert after.generation == GENERATION
    if name != "metadata gone":
        assert list((tmp_path / "decide.damaged-20261124T120000Z").rglob("[0-9]"))


def test_a_checkpoint_that_is_gone(tmp_path: Path) -> None:
    gone = read_checkpoint(tmp_path / "decide")
    assert judge(gone, Sinks()) == []
    assert remedy_of(judge(gone, HELD)) is Remedy.REBASE
    assert remedy_of(judge(gone, Sinks(True, continues_by_itself=True))) is Remedy.NOTHING


def test_conditions_of_files(tmp_path: Path) -> None:
    file = tmp_path / "offsets"
    assert condition_of(file) is Condition.MISSING
    write(file, b"v1\n" + b"y" * 2_000)
    assert condition_of(file) is Condition.GOOD
    flip(file)
    assert condition_of(file) is Condition.SUM_DIFFERS
    empty(file)
    assert condition_of(file) is Condition.EMPTY

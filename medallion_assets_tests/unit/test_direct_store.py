"""The direct lane's file: a batch is in it whole or not at all, and for one driver at a time."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud_domain.streams import DIRECT_STATE
from medallion_services.checkpoints.judging import Remedy, Sinks, judge, remedy_of
from medallion_services.checkpoints.reading import read_checkpoint
from spark_jobs.direct import store as store_module
from spark_jobs.direct.message import Message
from spark_jobs.direct.packed import TOGETHER
from spark_jobs.direct.store import Due, Store, StoreError
from spark_jobs.lease import FencedError
from spark_jobs.telling import Judged

PLACE = ("transactions", 0)
MESSAGES = [Message(*PLACE, 6, 1_000, b"{}")]
NOTHING = Due()
TOLD = [Judged("c-1", True, '{"a":1}'), Judged("c-2", False, '{"a":2}')]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path, 1)
    yield made
    made.close()


def test_a_batch_outlives_its_driver(store: Store, tmp_path: Path) -> None:
    row = store.new_id()
    assert store.commit(MESSAGES, Due([(row, "customer", "c-1", b"one", 0)]), TOLD) == 0
    store.close()
    again = Store(tmp_path, 2)
    assert again.generation == store.generation
    assert (again.batch_id, again.positions(), again.untold()) == (0, {PLACE: 7}, TOLD)
    assert list(again.batches()) == [(0, MESSAGES)]
    kept = again.find("customer", ("c-1", "c-9")).get("c-1")
    assert kept is not None
    assert (kept.id, kept.history, kept.as_of) == (row, b"one", 0)
    assert again.find("merchant", ("c-1",)) == {}
    assert again.new_id() > row
    again.told()
    assert again.untold() == []
    again.take_up((3, "v3"), Due(needed_from=1))
    assert again.rules == (3, "v3")
    assert list(again.batches()) == []
    again.close()


def test_a_batch_that_cannot_be_kept_leaves_nothing(store: Store) -> None:
    store.commit(MESSAGES, Due([(store.new_id(), "customer", "c-1", b"one", 0)]), TOLD)
    same_name = [(store.new_id(), "customer", "c-2", b"two", 1), (store.new_id(), "customer", "c-1", b"other", 1)]
    with pytest.raises(sqlite3.IntegrityError):
        store.commit([Message(*PLACE, 8, 1_000, b"{}")], Due(same_name), [])
    assert store.find("customer", ("c-2",)) == {}
    assert (store.batch_id, store.positions(), store.untold()) == (0, {PLACE: 7}, TOLD)


def test_an_older_driver_may_not_write_nor_open(store: Store, tmp_path: Path) -> None:
    younger = Store(tmp_path, 2)
    for write in (
        lambda: store.commit([], NOTHING, []),
        lambda: store.keep(NOTHING),
        store.told,
        lambda: store.take_up((1, "v"), NOTHING),
        store.begin,
    ):
        with pytest.raises(FencedError, match="epoch 1"):
            write()
    with pytest.raises(FencedError):
        Store(tmp_path, 1)
    younger.commit(MESSAGES, NOTHING, [])
    younger.close()


def test_any_number_of_subjects_is_found_at_once(store: Store) -> None:
    names = [f"c-{number}" for number in range(250)] + ["c-\x00", "\ufffd'"]
    kept = names[::3]
    store.keep(Due([(store.new_id(), "customer", name, name.encode(), 7) for name in kept]))
    found = store.find("customer", names)
    assert {name: (each.history, each.as_of) for name, each in found.items()} == {n: (n.encode(), 7) for n in kept}
    assert store.find("customer", []) == {}


def test_the_log_begins_anew_while_batch_follows_batch(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_LOG_BYTES", 1_000_000)
    done = threading.Event()

    def keep_small() -> None:
        while not done.is_set():
            store.copy_back()

    copier = threading.Thread(target=keep_small)
    copier.start()
    row, largest, log = store.new_id(), 0, store.path.with_name(f"{store.path.name}-wal")
    try:
        for number in range(300):
            with store.reading():
                store.find("customer", ("c-1",))
            store.commit(MESSAGES, Due([(row, "customer", "c-1", os.urandom(100_000), number)], number), [])
            largest = max(largest, log.stat().st_size)
    finally:
        done.set()
        copier.join()
    assert largest < 10_000_000, "of 30 MB that were written"


def test_it_is_begun_only_when_all_it_begins_with_is_there(store: Store) -> None:
    assert not store.begun
    store.keep(Due([(store.new_id(), "customer", "c-1", b"half", -1)]))
    store.forget()
    assert store.find("customer", ("c-1",)) == {}
    store.begin()
    assert store.begun


def test_other_checkpoints_are_refused(tmp_path: Path) -> None:
    (tmp_path / "metadata").write_text("{}", encoding="utf-8")
    with pytest.raises(StoreError, match="Spark's"):
        Store(tmp_path, 1)


def test_another_format_is_refused(store: Store, tmp_path: Path) -> None:
    store.close()
    with sqlite3.connect(tmp_path / DIRECT_STATE) as connection:
        connection.execute("UPDATE lane SET format = 99")
    connection.close()
    with pytest.raises(StoreError, match="format 99, this release reads 3"):
        Store(tmp_path, 2)


def test_the_doctor_tells_a_sound_file_from_a_damaged_one(store: Store, tmp_path: Path) -> None:
    store.commit(MESSAGES, Due([(store.new_id(), "customer", f"c-{n}", b"x" * 3000, 0) for n in range(50)]), TOLD)
    sound = read_checkpoint(tmp_path)
    assert (sound.generation, sound.newest_batch) == (store.generation, 0)
    assert judge(sound, Sinks(True, store.generation, 0)) == []
    store.close()
    file = tmp_path / DIRECT_STATE
    content = bytearray(file.read_bytes())
    content[4096:40960] = bytes(36864)
    file.write_bytes(content)
    findings = judge(read_checkpoint(tmp_path), Sinks(True))
    assert remedy_of(findings) is Remedy.REBASE
    assert findings[0].path == file


EARLIER = """
DROP TABLE messages; DROP TABLE decisions;
CREATE TABLE untold (
    place INTEGER PRIMARY KEY, customer_id TEXT NOT NULL, alert INTEGER NOT NULL, decision TEXT NOT NULL
);
INSERT INTO untold (customer_id, alert, decision) VALUES ('c-1', 1, '{"a":1}'), ('c-2', 0, '{"a":2}');
"""
FIRST = "ALTER TABLE subject DROP COLUMN as_of; UPDATE lane SET format = 1, batch_id = 8;"
SECOND = """
CREATE TABLE message (
    place INTEGER PRIMARY KEY, topic TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL,
    at INTEGER NOT NULL, value BLOB NOT NULL
);
INSERT INTO message VALUES
    (7 << 32, 'transactions', 0, 6, 1000, CAST('{}' AS BLOB)),
    ((7 << 32) + 1, 'fraud_labels', 1, 9, 2000, CAST('[]' AS BLOB)),
    (8 << 32, 'transactions', 0, 7, 3000, CAST('{}' AS BLOB));
UPDATE lane SET format = 2, batch_id = 8;
"""
HELD = [
    (7, [Message(*PLACE, 6, 1_000, b"{}"), Message("fraud_labels", 1, 9, 2_000, b"[]")]),
    (8, [Message(*PLACE, 7, 3_000, b"{}")]),
]


@pytest.mark.parametrize(("format_", "held", "as_of"), [(FIRST, [], -1), (SECOND, HELD, 5)])
def test_a_file_of_an_earlier_format_is_brought_up_to_date(
    store: Store, tmp_path: Path, format_: str, held: list[tuple[int, list[Message]]], as_of: int
) -> None:
    store.keep(Due([(store.new_id(), "customer", "c-1", b"one", 5)]))
    store.close()
    with sqlite3.connect(tmp_path / DIRECT_STATE) as connection:
        connection.executescript(EARLIER + format_)
    connection.close()
    for epoch in (2, 3):
        upgraded = Store(tmp_path, epoch)
        kept = upgraded.find("customer", ("c-1",)).get("c-1")
        assert kept is not None
        assert (kept.history, kept.as_of, upgraded.batch_id) == (b"one", as_of, 8)
        assert list(upgraded.batches()) == held
        assert upgraded.untold() == TOLD
        upgraded.close()


@pytest.mark.parametrize("count", [1, TOGETHER, 2 * TOGETHER + 1])
def test_a_batch_of_any_size_comes_back_in_its_order(store: Store, count: int) -> None:
    messages = [Message(*PLACE, offset, offset * 7, os.urandom(offset % 50)) for offset in range(count)]
    judged = [Judged(f"c-{number}", number % 2 == 0, "{}") for number in range(count)]
    store.commit(MESSAGES, NOTHING, TOLD)
    store.commit(messages, NOTHING, judged)
    assert list(store.batches()) == [(0, MESSAGES), (1, messages)]
    assert store.untold() == judged
    store.keep(Due(needed_from=1))
    assert list(store.batches()) == [(1, messages)]


@pytest.mark.parametrize(
    "rot", ["zeroblob(40)", "x'ffffffffffffffff00'", "x'0fffffffffffffff00'", "substr(packed, 1, 30)", "x''"]
)
def test_values_that_rotted_are_named_with_what_to_do(store: Store, tmp_path: Path, rot: str) -> None:
    store.commit(MESSAGES, NOTHING, TOLD)
    with sqlite3.connect(tmp_path / DIRECT_STATE) as connection:
        for name in ("messages", "decisions"):
            connection.execute(f"UPDATE {name} SET packed = {rot}")  # noqa: S608 - of ours
    connection.close()
    for read in (store.untold, lambda: list(store.batches())):
        with pytest.raises(StoreError, match=r"is damaged .* rebase alerts\.decide"):
            read()

"""The lock is exact, holds nothing of where jars come from, and is enforced."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from medallion_services.embedded import jars
from medallion_services.embedded.ivy import Coordinate, ivy_module, parse_retrieved
from medallion_services.errors import UserError


def locked(path: Path, content: bytes = b"jar") -> jars.LockedJar:
    path.write_bytes(content)
    return jars.LockedJar(f"org:{path.stem}:1", path.name, hashlib.sha256(content).hexdigest(), len(content))


def test_lock_names_no_host() -> None:
    text = jars.LOCK_FILE.read_text()
    assert "://" not in text
    assert set(json.loads(text)["sets"]["spark"][0]) == {"coordinate", "file", "sha256", "size"}


def test_lock_holds_every_root_and_is_sorted() -> None:
    lock = jars.read_lock()
    for name, roots in jars.ROOTS.items():
        assert set(roots) <= {jar.coordinate for jar in lock[name]}
        assert list(lock[name]) == sorted(lock[name])


def test_nothing_that_pyspark_ships_is_added_to_it() -> None:
    added = {jars.module_of(jar.file) for jar in jars.read_lock()["spark"]}
    assert not added & jars.shipped_modules()


def test_brokers_client_is_not_sparks_client() -> None:
    lock = jars.read_lock()
    versions = {name: [j.file for j in lock[name] if j.file.startswith("kafka-clients-")] for name in lock}
    assert versions["spark"] != versions["kafka"]


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("zstd-jni-1.5.7-7.jar", "zstd-jni"),
        ("spark-sql-kafka-0-10_2.13-4.2.0.jar", "spark-sql-kafka"),
        ("delta-spark_4.2_2.13-4.4.0.jar", "delta-spark_4.2_2.13"),
    ],
)
def test_module_is_what_stands_before_the_version(file: str, module: str) -> None:
    assert jars.module_of(file) == module


def test_altered_jar_is_refused(tmp_path: Path) -> None:
    jar = locked(tmp_path / "a.jar")
    assert jars.verify([jar], tmp_path) == ()
    (tmp_path / "a.jar").write_bytes(b"raj")
    with pytest.raises(UserError, match="not the jar that was locked"):
        jars.verify([jar], tmp_path)


def test_altered_jar_with_its_old_times_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jar"
    jar = locked(path)
    jars.verify([jar], tmp_path)
    before = path.stat()
    path.write_bytes(b"raj")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(UserError, match="not the jar that was locked"):
        jars.verify([jar], tmp_path)


def test_unchanged_jar_is_not_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = locked(tmp_path / "a.jar")
    jars.verify([jar], tmp_path)
    monkeypatch.setattr(jars, "sha256_of", lambda path: pytest.fail("hashed again"))
    assert jars.verify([jar], tmp_path) == ()


def test_absent_jars_are_told(tmp_path: Path) -> None:
    jar = locked(tmp_path / "a.jar")
    (tmp_path / "a.jar").unlink()
    assert jars.verify([jar], tmp_path) == (jar,)


def test_two_versions_of_a_module_are_fetched_apart() -> None:
    every = sorted({jar for members in jars.read_lock().values() for jar in members})
    divided = jars.shares(every, 4)
    assert sorted(jar for part in divided for jar in part) == every
    for part in divided:
        modules = [jar.coordinate.rpartition(":")[0] for jar in part]
        assert len(set(modules)) == len(modules)


def test_damaged_lock_says_how_to_get_it_back(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("{}")
    with pytest.raises(UserError, match="Restore it from git"):
        jars.read_lock(tmp_path / "lock")


def test_retrieved_file_tells_its_coordinate() -> None:
    assert parse_retrieved("org.x@@some-lib_2.13@@1.0-2.jar") == Coordinate("org.x", "some-lib_2.13", "1.0-2")
    assert parse_retrieved("ivy.xml") is None


def test_locked_jars_are_fetched_without_what_they_need() -> None:
    assert 'transitive="false"' in ivy_module([Coordinate("a", "b", "1")], transitive=False)

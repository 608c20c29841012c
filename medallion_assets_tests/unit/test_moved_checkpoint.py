"""A checkpoint that lies elsewhere than it was made names its own schemas; nothing else in it changes."""

import json
import shutil
from pathlib import Path

from spark_jobs.moved_checkpoint import follow_move


def checkpoint_at(root: Path) -> Path:
    """A checkpoint with one operator, as Spark writes it."""
    schema = root / "state" / "0" / "_stateSchema" / "default" / "0_abc"
    operator = root / "state" / "0" / "_metadata" / "v2" / "0"
    for file in (schema, operator):
        file.parent.mkdir(parents=True)
    schema.write_text("v3\n")
    store = {"storeName": "default", "numPartitions": 2, "stateSchemaFilePaths": [f"file:{schema}"]}
    document = {"operatorInfo": {"operatorId": 0}, "stateStoreInfo": [store], "operatorPropertiesJson": "{}"}
    operator.write_text("v2\n" + json.dumps(document, separators=(",", ":")))
    operator.with_name(".0.crc").write_bytes(b"crc\x00")
    return operator


def test_where_it_was_made_nothing_changes(tmp_path: Path) -> None:
    operator = checkpoint_at(tmp_path / "decide")
    before = operator.read_bytes()
    assert follow_move(str(tmp_path / "decide")) == []
    assert operator.read_bytes() == before
    assert operator.with_name(".0.crc").exists()


def test_elsewhere_it_names_the_schema_beside_it_and_the_old_sum_is_gone(tmp_path: Path) -> None:
    old = checkpoint_at(tmp_path / "old" / "decide")
    before = json.loads(old.read_text().splitlines()[1])
    root = tmp_path / "new" / "decide"
    shutil.move(tmp_path / "old" / "decide", root)
    (operator,) = follow_move(str(root))
    version, body = operator.read_text().splitlines()
    assert version == "v2"
    after = json.loads(body)
    assert after["stateStoreInfo"][0].pop("stateSchemaFilePaths") == [f"file:{root}/state/0/_stateSchema/default/0_abc"]
    before["stateStoreInfo"][0].pop("stateSchemaFilePaths")
    assert after == before
    assert sorted(p.name for p in operator.parent.iterdir()) == ["0"]
    assert follow_move(str(root)) == []


def test_a_schema_that_is_gone_stays_named_so_that_spark_tells_which(tmp_path: Path) -> None:
    checkpoint_at(tmp_path / "old")
    shutil.move(tmp_path / "old", tmp_path / "new")
    shutil.rmtree(tmp_path / "new" / "state" / "0" / "_stateSchema")
    assert follow_move(str(tmp_path / "new")) == []


def test_an_object_store_and_a_new_checkpoint_are_left_alone(tmp_path: Path) -> None:
    assert follow_move("s3a://bucket/checkpoints/alerts/decide") == []
    assert follow_move(str(tmp_path / "nothing")) == []

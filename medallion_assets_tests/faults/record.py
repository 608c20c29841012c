"""What a release leaves behind when it is stopped: kept as a file, and laid out again for the next one.

    python -m medallion_assets_tests.faults.record

writes `releases/<version>.tar.gz`: messages, database at its revision, lake, checkpoints, rules and what the traffic
knows. There are no secrets in it: passwords and the key of card tokens are made anew where it is laid out.
"""

import base64
import shutil
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import psycopg
from confluent_kafka import Producer
from psycopg import sql

from fraud_domain.kafka_client import client_configuration
from fraud_domain.settings import Settings
from fraud_domain.topics import TOPICS, producer_configuration
from medallion_assets_tests.faults.traffic import Traffic
from medallion_assets_tests.faults.world import World, world
from medallion_assets_tests.pipeline import messages
from medallion_services.database.prepare import admin_parameters, create, migrate, prepare

RELEASES = Path(__file__).parent / "releases"
SEED = 1
_OURS = "schemaname NOT IN ('pg_catalog', 'information_schema')"


def keep(here: World, target: Path) -> None:
    """Pack what a world holds; its drivers must have been stopped."""
    settings = here.settings
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shutil.copytree(settings.lake_root, folder / "lake")
        shutil.copytree(settings.checkpoint_root, folder / "checkpoints")
        shutil.copytree(settings.rules.directory, folder / "rules")
        (folder / "messages.jsonl").write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in _messages(settings)))
        known = here.traffic
        truth = {"clock": known.clock, "acked": known.acked, "transaction_ids": sorted(known.transaction_ids)}
        (folder / "traffic.json").write_bytes(orjson.dumps(truth))
        with _admin(settings) as connection:
            _dump(connection, folder / "database")
        with tarfile.open(target, "w:gz", compresslevel=9) as packed:
            for path in sorted(folder.iterdir()):
                packed.add(path, path.name)


def lay_out(folder: Path, settings: Settings) -> None:
    """Fill servers that run and hold nothing but topics and schema; then do what a start of this release does."""
    shutil.copytree(folder / "lake", settings.lake_root, dirs_exist_ok=True)
    shutil.copytree(folder / "checkpoints", settings.checkpoint_root, dirs_exist_ok=True)
    _send(settings, folder / "messages.jsonl")
    with psycopg.connect(**admin_parameters(settings), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(settings.postgres.database)))
    create(settings)
    migrate(settings, (folder / "database" / "REVISION").read_text(encoding="utf-8"))
    with _admin(settings) as connection:
        _fill(connection, folder / "database")
    prepare(settings)


def remember(folder: Path, traffic: Traffic) -> None:
    """Tell the traffic what was sent before, so that the checker asks for it."""
    known = orjson.loads((folder / "traffic.json").read_bytes())
    traffic.acked = Counter(known["acked"])
    traffic.transaction_ids = set(known["transaction_ids"])
    traffic.clock = max(traffic.clock, datetime.fromisoformat(known["clock"]))


def _admin(settings: Settings) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(**admin_parameters(settings, settings.postgres.database))


def _messages(settings: Settings) -> Iterator[dict[str, Any]]:
    for topic in TOPICS:
        for message in messages(settings, topic.name):
            key, value = message.key(), message.value()
            yield {
                "topic": topic.name,
                "partition": message.partition(),
                "timestamp": message.timestamp()[1],
                "key": key and base64.b64encode(key).decode(),
                "value": value and base64.b64encode(value).decode(),
            }


def _send(settings: Settings, file: Path) -> None:
    """In the order of the log and to the same partitions, so that every message has its offset again."""
    producer = Producer(producer_configuration(client_configuration(settings), {"linger.ms": 5}))
    for line in file.read_bytes().splitlines():
        each = orjson.loads(line)
        key, value = (each[part] and base64.b64decode(each[part]) for part in ("key", "value"))
        producer.produce(each["topic"], value, key, each["partition"], timestamp=each["timestamp"])
        producer.poll(0)
    assert not producer.flush(60), "the broker did not acknowledge all"


def _dump(connection: psycopg.Connection[tuple[Any, ...]], folder: Path) -> None:
    folder.mkdir()
    revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert revision is not None
    (folder / "REVISION").write_text(revision[0], encoding="utf-8")
    for schema, name in _tables(connection):
        with connection.cursor().copy(_copy(schema, name, "TO STDOUT")) as rows:
            (folder / f"{schema}.{name}").write_bytes(b"".join(bytes(part) for part in rows))
    numbers = connection.execute(
        f"SELECT schemaname, sequencename, last_value FROM pg_sequences WHERE {_OURS} AND last_value IS NOT NULL"  # noqa: S608
    ).fetchall()
    (folder / "SEQUENCES").write_bytes(orjson.dumps(numbers))


def _fill(connection: psycopg.Connection[tuple[Any, ...]], folder: Path) -> None:
    """Rows as they were: without triggers and foreign keys, which have had their say."""
    connection.execute("SET session_replication_role = replica")
    for schema, name in _tables(connection):
        connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(schema, name)))
        with connection.cursor().copy(_copy(schema, name, "FROM STDIN")) as rows:
            rows.write((folder / f"{schema}.{name}").read_bytes())
    for schema, name, value in orjson.loads((folder / "SEQUENCES").read_bytes()):
        sequence = sql.Identifier(schema, name).as_string(connection)
        connection.execute("SELECT setval(%s::regclass, %s)", (sequence, value))


def _tables(connection: psycopg.Connection[tuple[Any, ...]]) -> list[tuple[str, str]]:
    query = (
        f"SELECT schemaname, tablename FROM pg_tables WHERE {_OURS} AND tablename <> 'alembic_version' ORDER BY 1, 2"  # noqa: S608
    )
    return [(schema, name) for schema, name in connection.execute(query).fetchall()]


def _copy(schema: str, name: str, direction: str) -> sql.Composed:
    return sql.SQL("COPY {} {}").format(sql.Identifier(schema, name), sql.SQL(direction))


def main() -> int:
    """Let a world of this release run for a while, stop it, and keep what it leaves behind."""
    RELEASES.mkdir(exist_ok=True)
    target = RELEASES / f"{version('medallion-fraud')}.tar.gz"
    with world(SEED) as here:
        here.traffic.send(3600)
        here.traffic.probe(3)
        here.start_drivers()
        here.settle(900)
        for driver in (here.lake, here.alerts):
            driver.stop()
        keep(here, target)
    sys.stdout.write(f"{target.name}: {target.stat().st_size:,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The golden fixture: lake, checkpoints and database as an earlier version of the code left them.

`python -m medallion_assets_tests.faults.golden` makes it anew with the present code. Kafka is not in it: bronze holds
every message with its offset, so the topics are filled again from there.
"""

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from fraud_domain.settings import Settings
from fraud_domain.topics import TRANSACTIONS
from medallion_assets.defs.quality.lake_sql import lake_sql, rows
from medallion_assets.platform import Platform
from medallion_assets_tests.faults import checker
from medallion_assets_tests.faults.traffic import Traffic
from medallion_assets_tests.faults.world import Kind, World, world
from medallion_services.database.prepare import admin_parameters
from medallion_services.embedded.postgres_cluster import installed_binaries
from medallion_services.embedded.stack import prepare_database

FIXTURE = Path(__file__).parent / "golden.tar.xz"
_STORES = ("lake", "checkpoints")
_MAKING_SEED = 20261124


def make(target: Path) -> int:
    """Let the present code work for a while and keep what it leaves; returns the size in bytes."""
    with world(_MAKING_SEED, Kind.OWN) as here:
        here.traffic.send(1800)
        here.start_drivers()
        here.settle()
        here.traffic.send(600)
        here.traffic.probe(5)
        here.settle()
        for driver in (here.alerts, here.lake):
            driver.stop()
        settings = here.settings
        clock, counts = here.traffic.clock.isoformat(), checker.counts(settings)
        about = {"root": str(settings.data_dir), "clock": clock, "counts": counts}
        with tarfile.open(target, "w:xz", preset=9) as tar:
            for name in _STORES:
                tar.add(settings.data_dir / name, name)
            tar.add(settings.rules.directory, "rules")
            _add(tar, "about.json", json.dumps(about).encode())
            _add(tar, "database.sql", dump(settings))
    return target.stat().st_size


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def dump(settings: Settings) -> bytes:
    """The database `fraud` as SQL that any client can run: no commands of psql's own."""
    parameters = admin_parameters(settings)
    command = [str(installed_binaries(settings) / "pg_dump"), "--inserts", "--rows-per-insert=200"]
    command += ["--host", parameters["host"], "--port", str(parameters["port"]), "--username", parameters["user"]]
    environment = {**os.environ, "PGPASSWORD": parameters["password"]}
    done = subprocess.run([*command, settings.postgres.database], env=environment, capture_output=True, check=True)
    return b"\n".join(line for line in done.stdout.splitlines() if not line.startswith(b"\\"))


def restored_and_continued(seed: int) -> str:
    """Start the present code on the fixture and go on: nothing of the old is lost, doubled or decided again."""
    with tempfile.TemporaryDirectory(prefix="medallion-golden-") as folder:
        with tarfile.open(FIXTURE) as tar:
            tar.extractall(folder, filter="data")
        source = Path(folder)
        about = json.loads((source / "about.json").read_text(encoding="utf-8"))
        with world(seed, Kind.OWN, rules={"directory": source / "rules"}) as here:
            restore(here, source, about)
            here.traffic.clock = datetime.fromisoformat(about["clock"])
            assert checker.counts(here.settings) == about["counts"], "what was restored is not what was kept"
            here.start_drivers()
            here.traffic.send(900)
            here.wait_alert(here.traffic.probe(3))
            here.lifted()
            _, passed = here.settle()
    return f"{FIXTURE.stat().st_size:,} bytes restored and continued; {len(passed)} invariants"


def restore(here: World, source: Path, about: dict[str, Any]) -> None:
    """Put lake, checkpoints, database and topics of the fixture into a world whose drivers do not run yet."""
    for name in _STORES:
        shutil.copytree(source / name, here.settings.data_dir / name, dirs_exist_ok=True)
    _move(here.settings.data_dir / "checkpoints", about["root"], str(here.settings.data_dir))
    parameters = {**admin_parameters(here.settings), "dbname": here.settings.postgres.database}
    with psycopg.connect(**parameters) as connection:
        connection.execute("DROP SCHEMA fraud CASCADE; DROP SCHEMA mart CASCADE; DROP TABLE IF EXISTS alembic_version")
        connection.execute((source / "database.sql").read_bytes())
    prepare_database(here.settings)
    fill_topics(here.settings, here.traffic)


def _move(checkpoints: Path, before: str, after: str) -> None:
    """Spark notes where the schema of a state lies, by its whole path."""
    for path in checkpoints.rglob("*"):
        if path.is_file() and before.encode() in (content := path.read_bytes()):
            path.write_bytes(content.replace(before.encode(), after.encode()))
            path.with_name(f".{path.name}.crc").unlink(missing_ok=True)


def fill_topics(settings: Settings, traffic: Traffic) -> None:
    """Send what bronze holds, so that each message gets the offset it had."""
    with lake_sql(Platform(settings)) as lake:
        for name, topic in checker.bronze_topics().items():
            query = f'SELECT "offset", key, value, kafka_timestamp FROM {name} ORDER BY "offset"'  # noqa: S608
            for number, (offset, key, value, moment) in enumerate(rows(lake, query)):
                assert offset == number, f"{topic}: offset {offset} where {number} was expected"
                traffic.put(value, key=key, at=moment, topic=topic)
            traffic.flush()
    # Nothing is known of the old decisions' messages but what the log says.
    traffic.acked.pop("fraud_decisions", None)
    assert traffic.acked[TRANSACTIONS] > 0


if __name__ == "__main__":
    print(f"{FIXTURE.name}: {make(FIXTURE):,} bytes")  # noqa: T201

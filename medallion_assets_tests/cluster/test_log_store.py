"""Several drivers want the same version of one Delta table in an object store."""

import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from xml.sax.saxutils import escape

import pyarrow as pa
import pyspark
import pytest
from deltalake import DeltaTable, write_deltalake

from fraud_domain.object_store import delta_place
from fraud_domain.settings import Settings
from fraud_domain.tables import table
from medallion_assets_tests.object_store import BUCKET, files
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.jars import spark_jars
from medallion_services.embedded.java import Java
from medallion_services.embedded.logstore import LOG_STORE
from medallion_services.embedded.spark_conf import s3_properties

pytestmark = pytest.mark.cluster

HERE = Path(__file__).parent
DEFAULT = "io.delta.storage.S3SingleDriverLogStore"
RACERS, ROUNDS = 8, 3
DRIVERS, THREADS, ROWS = ("left", "right"), 2, 4


@pytest.fixture(scope="module")
def writer(store: tuple[Settings, Java], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Command of a process that is nothing but a LogStore; wants class, configuration file, path and name."""
    settings, java = store
    scratch = tmp_path_factory.mktemp("writer")
    shipped = Path(pyspark.__file__).parent / "jars"
    classpath = ":".join(map(str, (*spark_jars(settings), shipped / "*", scratch)))
    javac = str(java.home / "bin" / "javac")
    subprocess.run([javac, "-cp", classpath, "-d", str(scratch), str(HERE / "Writer.java")], check=True)
    return [str(java.executable), "-Xmx128m", "-cp", classpath, "Writer"]


def race(settings: Settings, writer: list[str], log_store: str, version: int, scratch: Path) -> tuple[list[str], str]:
    """Eight processes hold the same version open, then all finish: what each was told, and what the store has."""
    path = f"{BUCKET}/race/{log_store}/_delta_log/{version:020}.json"
    properties = {name.removeprefix("spark.hadoop."): value for name, value in s3_properties(settings).items()}
    content = "".join(f"<property><name>{n}</name><value>{escape(v)}</value></property>" for n, v in properties.items())
    configuration = scratch / "site.xml"
    configuration.write_text(f"<configuration>{content}</configuration>")
    environment = stack_environment(settings)
    with ExitStack() as stack:
        racers = []
        for number in range(RACERS):
            argv = [*writer, log_store, f"file://{configuration}", f"s3a://{path}", f"racer {number}"]
            log = stack.enter_context((scratch / f"{number}.log").open("w"))
            pipe = subprocess.PIPE
            racer = subprocess.Popen(argv, env=environment, stdin=pipe, stdout=pipe, stderr=log, text=True)
            stack.callback(racer.wait)
            stack.callback(racer.kill)
            racers.append(racer)
        for racer in racers:
            assert racer.stdout
            assert racer.stdout.readline() == "writing\n", scratch
        for racer in racers:
            assert racer.stdin
            racer.stdin.write("now\n")
            racer.stdin.flush()
        said = [racer.communicate(timeout=120)[0].strip() for racer in racers]
    with files(settings).open_input_stream(path) as held:
        return said, held.read().decode().strip()


def test_one_of_eight_gets_the_version(store: tuple[Settings, Java], writer: list[str], tmp_path: Path) -> None:
    for version in range(ROUNDS):
        said, held = race(store[0], writer, LOG_STORE, version, tmp_path)
        assert Counter(said) == {"written": 1, "taken": RACERS - 1}
        assert held == f"racer {said.index('written')}"


def test_the_default_log_store_loses_commits(store: tuple[Settings, Java], writer: list[str], tmp_path: Path) -> None:
    """Why there is a LogStore of our own; when this fails, Delta may have got one that we should use instead."""
    said, _ = race(store[0], writer, DEFAULT, 0, tmp_path)
    assert said.count("written") > 1


def test_two_drivers_on_one_table_lose_nothing(store: tuple[Settings, Java], tmp_path: Path) -> None:
    settings, java = store
    spark_path = f"{settings.lake_root}/two_drivers"
    options = delta_place(settings, table("bronze.labels")).options
    path = spark_path.replace("s3a://", "s3://")
    write_deltalake(path, pa.table({"row": pa.array([], pa.string())}), storage_options=options)
    go, environment = tmp_path / "go", stack_environment(settings, java_home=java.home)
    with ExitStack() as stack:
        processes = []
        for driver in DRIVERS:
            argv = [sys.executable, str(HERE / "racing.py"), spark_path, driver, str(THREADS), str(ROWS)]
            argv += [str(tmp_path / driver), str(go)]
            log = stack.enter_context((tmp_path / f"{driver}.log").open("w"))
            process = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)
        while not all((tmp_path / driver).exists() for driver in DRIVERS):
            assert all(process.poll() is None for process in processes), tmp_path
            time.sleep(0.2)
        go.touch()
        said = [process.communicate(timeout=500)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], tmp_path
    acknowledged = [row for text in said for row in json.loads(text)]
    assert len(acknowledged) == len(DRIVERS) * THREADS * ROWS
    delta = DeltaTable(path, storage_options=options)
    assert sorted(delta.to_pyarrow_table()["row"].to_pylist()) == sorted(acknowledged)
    assert delta.version() == len(acknowledged)

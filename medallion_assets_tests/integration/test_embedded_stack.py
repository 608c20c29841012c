"""The embedded servers keep their promises: real PostgreSQL, Kafka and Dagster, killed for real."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from fraud_domain.settings import PROJECT_ROOT, Settings
from fraud_domain.topics import TOPICS, TRANSACTIONS
from medallion_assets_tests.watching import eventually, watched
from medallion_services.embedded import kafka_topics, probes, up
from medallion_services.embedded.environment import instance_id, stack_environment
from medallion_services.embedded.owner import OwnerState, ownership, read_state
from medallion_services.embedded.postgres_cluster import locate, unprivileged_account
from medallion_services.embedded.processes import ProcessId, alive, marked, spawn, tree, wait_gone
from medallion_services.embedded.supervisor import Supervisor
from medallion_services.errors import UserError

STACK = ("postgres", "kafka", "dagster-code", "dagster-webserver", "dagster-daemon", "dashboard", "notifier")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="about running as root")


def connect(settings: Settings, role: str = "fraud_reader", **more: Any) -> psycopg.Connection[Any]:
    parameters: dict[str, Any] = {**settings.postgres_parameters(role), "connect_timeout": 5, **more}
    return psycopg.connect(**parameters)


def server_pid(port: int) -> int:
    return next(
        c.pid for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr[1:2] == (port,) and c.pid
    )


def produce(settings: Settings, topic: str, value: bytes) -> None:
    failures: list[object] = []
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, "acks": "all", "message.timeout.ms": 20_000})
    producer.produce(
        topic, value, partition=0, on_delivery=lambda error, message: failures.append(error) if error else None
    )
    assert producer.flush(30) == 0
    if failures:
        raise KafkaException(failures[0])


def first_message(settings: Settings, topic: str) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": "t", "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(30)
        return message.value() if message is not None else None
    finally:
        consumer.close()


# PostgreSQL


def test_wrong_password_is_refused(postgres: Settings) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(postgres, password="wrong")


def test_no_password_is_refused_even_on_loopback(postgres: Settings) -> None:
    with pytest.raises(psycopg.OperationalError):
        connect(postgres, password="")


def test_every_role_gets_in_with_its_own_secret(postgres: Settings) -> None:
    for role in ("fraud_owner", "fraud_writer", "fraud_reader", "fraud_notifier"):
        with connect(postgres, role) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (role,)


@as_root
def test_postgres_never_runs_as_root(postgres: Settings) -> None:
    assert psutil.Process(server_pid(postgres.postgres.port)).uids().effective != 0


def test_postgres_survives_kill_nine(postgres: Settings, postgres_server: Supervisor) -> None:
    with connect(postgres, "fraud_owner", autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT g FROM generate_series(1, 10000) AS g")
    with watched(postgres_server):
        members = tree(server_pid(postgres.postgres.port))
        os.kill(members[0].pid, signal.SIGKILL)
        eventually(lambda: not alive(members) and probes.database_answers(postgres))
    with connect(postgres, "fraud_owner") as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (10_000,)
        connection.execute("DROP TABLE kept")


@as_root
def test_closed_data_directory_is_not_opened_for_postgres(other_settings: Settings, tmp_path: Path) -> None:
    closed, shelter = tmp_path / "closed", other_settings.data_dir / "shelter"
    closed.mkdir(mode=0o700)
    other_settings.data_dir.chmod(0o711)
    settings = other_settings.model_copy(update={"data_dir": closed / "data"})
    cluster = locate(settings, shelter)
    assert cluster.home.parent == shelter
    assert locate(settings, shelter).home == cluster.home
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_nowhere_to_put_the_cluster_says_what_to_set(other_settings: Settings, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    settings = other_settings.model_copy(update={"data_dir": closed / "data"})
    with pytest.raises(UserError, match="Set MEDALLION_DATA_DIR"):
        locate(settings, closed / "shelter")


# Kafka


def test_topics_are_as_the_settings_say(kafka: Settings) -> None:
    from confluent_kafka.admin import AdminClient

    topics = AdminClient({"bootstrap.servers": kafka.kafka_bootstrap}).list_topics(timeout=10).topics
    assert {name: len(topics[name].partitions) for name in (spec.name for spec in TOPICS)} == dict.fromkeys(
        (spec.name for spec in TOPICS), kafka.kafka.partitions
    )
    assert kafka_topics.create_topics(kafka) == ()


def test_unknown_topic_is_not_made_by_a_typing_mistake(kafka: Settings) -> None:
    with pytest.raises(KafkaException):
        produce(kafka, "transactionz", b"x")


def test_servers_listen_on_loopback_only(postgres: Settings, kafka: Settings) -> None:
    ports = {postgres.postgres.port, kafka.kafka.port, kafka.kafka.controller_port}
    sockets = [c.laddr for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr]
    listening = [address for address in sockets if address.port in ports]
    assert {address.port for address in listening} == ports
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_kafka_survives_kill_nine(kafka: Settings, kafka_server: Supervisor) -> None:
    produce(kafka, TRANSACTIONS, b"acknowledged")
    with watched(kafka_server):
        victim = server_pid(kafka.kafka.port)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: not psutil.pid_exists(victim) and kafka_topics.answers(kafka))
    assert first_message(kafka, TRANSACTIONS) == b"acknowledged"


# The whole stack


def start_owner(settings: Settings) -> subprocess.Popen[bytes]:
    owner = spawn(
        (sys.executable, "-m", "medallion_assets_tests.integration.stack_owner"),
        environment={**stack_environment(settings), "PYTHONPATH": str(PROJECT_ROOT)},
        log=settings.log_dir / "owner.log",
        cwd=settings.data_dir,
    )

    def is_running() -> bool:
        assert owner.poll() is None, (settings.log_dir / "owner.log").read_text()
        state = read_state(settings)
        return state is not None and state.pid == owner.pid and state.phase == "running"

    eventually(is_running, 180)
    return owner


def state_of(settings: Settings) -> OwnerState:
    state = read_state(settings)
    assert state is not None
    return state


def component_of(settings: Settings, name: str) -> ProcessId:
    state = state_of(settings).components[name]
    assert state.pid is not None
    assert state.created is not None
    return ProcessId(state.pid, state.created)


def all_answer(settings: Settings) -> bool:
    return (
        probes.database_answers(settings)
        and kafka_topics.answers(settings)
        and probes.code_server_answers(settings)
        and probes.webserver_answers(settings)
    )


def test_stack_starts_heals_and_leaves_nothing(other_settings: Settings) -> None:
    settings = other_settings
    owner = start_owner(settings)
    assert tuple(state_of(settings).components) == STACK
    assert all_answer(settings)

    with pytest.raises(UserError, match=f"already being run by process {owner.pid}"), ownership(settings):
        pass

    victim = component_of(settings, "dagster-code")
    os.kill(victim.pid, signal.SIGKILL)
    eventually(lambda: component_of(settings, "dagster-code") != victim and all_answer(settings))
    assert state_of(settings).components["dagster-code"].restarts == 1

    members = marked(instance_id(settings))
    assert len(members) >= len(STACK)
    owner.send_signal(signal.SIGTERM)
    assert owner.wait(120) == 0
    assert (settings.data_dir / "stopped").exists()
    assert not alive(members)
    assert marked(instance_id(settings)) == ()


def test_what_a_killed_owner_left_behind_is_ended_by_the_next_start_and_by_down(other_settings: Settings) -> None:
    settings = other_settings
    first = start_owner(settings)
    left = marked(instance_id(settings))
    first.kill()
    first.wait()
    assert len(alive(left)) >= len(STACK)

    second = start_owner(settings)
    assert not wait_gone([each for each in left if each.pid != second.pid], 1)
    assert all_answer(settings)

    left = marked(instance_id(settings))
    second.kill()
    second.wait()
    stopped, ended = up.end(settings)
    assert not stopped
    assert ended >= len(STACK)
    assert not alive(left)
    assert up.end(settings) == (False, 0)
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", settings.postgres.port))


def test_unprivileged_caller_runs_postgres_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert unprivileged_account() is None

"""A broker that wants TLS and a login, and a database that wants TLS: by settings alone, and refused without."""

import dataclasses
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not re-export these names
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from pyspark.sql import SparkSession

from fraud_domain.kafka_client import PASSWORD, client_configuration
from fraud_domain.settings import MissingSecretError, Settings
from fraud_domain.topics import FRAUD_ALERTS, TOPICS, TopicSpec
from medallion_assets.defs.quality.kafka_checks import ends_before
from medallion_assets_tests.certificates import Authority
from medallion_services.doctor.servers import examine_servers
from medallion_services.embedded import kafka, postgres
from medallion_services.embedded.component import Component
from medallion_services.embedded.environment import stack_environment
from medallion_services.embedded.java import Java
from medallion_services.embedded.kafka_topics import create_topics, refusal
from medallion_services.embedded.ports import LOOPBACK, free_ports
from medallion_services.embedded.stack import prepare_database
from medallion_services.embedded.throwaway import fresh_settings, running
from medallion_services.errors import UserError
from spark_jobs.decision_log import DecisionLog
from spark_jobs.sources import kafka_stream

USER, SECRET = "fraud-platform", "a password; with $igns, {braces} = and 'marks'"
OPENSSL_POSTGRES = Path(shutil.which("postgres") or "/nowhere").resolve().parent


def secured_broker(settings: Settings, java: Java, authority: Authority, port: int) -> Component:
    """The embedded broker with one more listener, which wants TLS and a login and asks what one may."""
    key, certificate = authority.sign("broker")
    store = settings.run_dir / "broker.pem"
    store.touch(mode=0o600)
    store.write_bytes(key.read_bytes() + certificate.read_bytes() + authority.file.read_bytes())
    plain = kafka.server_properties(settings)
    listener = "listener.name.secured"
    more = {
        "listeners": f"{plain['listeners']},SECURED://{LOOPBACK}:{port}",
        "advertised.listeners": f"{plain['advertised.listeners']},SECURED://{LOOPBACK}:{port}",
        "listener.security.protocol.map": f"{plain['listener.security.protocol.map']},SECURED:SASL_SSL",
        f"{listener}.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        f"{listener}.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        f"{listener}.ssl.keystore.type": "PEM",
        f"{listener}.ssl.keystore.location": str(store),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    made = kafka.component(settings, java)

    def prepare() -> None:
        made.prepare()
        with (settings.run_dir / "kafka" / "server.properties").open("a", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in more.items())

    return dataclasses.replace(made, prepare=prepare)


@pytest.fixture(scope="module")
def secured(java: Java, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a broker that is somebody else's, with TLS and a login."""
    authority = Authority(tmp_path_factory.mktemp("kafka"))
    (port,) = free_ports(1)
    with fresh_settings() as own, running(own, secured_broker(own, java, authority, port)):
        admin = AdminClient({**client_configuration(own)})
        made = UserScramCredentialUpsertion(
            USER, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), SECRET.encode()
        )
        for done in admin.alter_user_scram_credentials([made]).values():
            done.result(timeout=30)
        allow(admin, [(topic.name, right) for topic in TOPICS for right in (AclOperation.READ, AclOperation.WRITE)])
        write_password(own, SECRET)
        yield changed(
            own,
            bootstrap_servers=f"{LOOPBACK}:{port}",
            security_protocol="SASL_SSL",
            sasl_username=USER,
            ca_file=authority.file,
        )


def allow(admin: AdminClient, rights: list[tuple[str, AclOperation]]) -> None:
    """What docs/grow.md says that the platform's user needs."""
    wanted = [
        AclBinding(
            ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, f"User:{USER}", "*", right, AclPermissionType.ALLOW
        )
        for topic, right in rights
    ]
    for done in admin.create_acls(wanted).values():
        done.result(timeout=30)


def changed(settings: Settings, **kafka_settings: Any) -> Settings:
    """The same settings with others of the broker."""
    document = settings.model_dump()
    return Settings.model_validate(document | {"kafka": document["kafka"] | kafka_settings})


def write_password(settings: Settings, text: str) -> None:
    path = settings.secrets_dir / PASSWORD
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def test_streams_read_and_write_over_tls_with_a_login(secured: Settings, spark: SparkSession, tmp_path: Path) -> None:
    DecisionLog(client_configuration(secured)).publish(FRAUD_ALERTS, [("c-1", "{}")])
    read = kafka_stream(spark, secured, FRAUD_ALERTS, 100)
    writer = read.writeStream.format("memory").queryName("secured").trigger(availableNow=True)
    query = writer.option("checkpointLocation", str(tmp_path)).start()
    query.awaitTermination(120)
    assert query.exception() is None
    assert [bytes(row.key) for row in spark.table("secured").collect()] == [b"c-1"]
    shown = f"{query.lastProgress} {query._jsq.toString()} {read._jdf.queryExecution().toString()}"
    kept = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET not in shown + kept + repr(DecisionLog(client_configuration(secured)))


def test_platform_gets_on_with_the_rights_to_read_and_write_its_topics(secured: Settings) -> None:
    assert create_topics(secured, align=False) == ()
    DecisionLog(client_configuration(secured)).publish(FRAUD_ALERTS, [("c-2", "{}")])
    assert ends_before(secured, FRAUD_ALERTS, datetime.now(UTC) + timedelta(minutes=1))
    with pytest.raises(UserError, match="uthorization failed"):
        create_topics(secured, [TopicSpec("another", "Not one of ours", "team:nobody")])
    with pytest.raises(UserError, match="uthorization failed"):
        create_topics(secured)


def test_doctor_says_that_the_broker_answers_and_why_it_does_not(secured: Settings, tmp_path: Path) -> None:
    assert refusal(secured) == ""
    stranger = changed(secured, ca_file=Authority(tmp_path).file)
    assert "certificate verify failed" in broker_finding(stranger)
    write_password(secured, "another")
    try:
        assert "Authentication failed" in broker_finding(secured)
    finally:
        write_password(secured, SECRET)


def broker_finding(settings: Settings) -> str:
    """What the doctor says about the broker."""
    (found,) = (each for each in examine_servers(settings, False, 300.0, time.time) if each.subject == "kafka")
    return found.what


@pytest.mark.parametrize(("text", "told"), [(SECRET + "\n", "without a line end"), ('a "mark"', "choose another")])
def test_a_password_file_that_java_cannot_read_is_told(
    secured: Settings, spark: SparkSession, text: str, told: str
) -> None:
    write_password(secured, text)
    try:
        with pytest.raises(MissingSecretError, match=told):
            kafka_stream(spark, secured, FRAUD_ALERTS, 100)
    finally:
        write_password(secured, SECRET)


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[Settings]:
    """Settings of a database that takes encrypted connections, whose authority is known."""
    if b"libssl" not in (OPENSSL_POSTGRES / "postgres").read_bytes():
        pytest.skip("the PostgreSQL on the path was built without OpenSSL, as the bundled one is")
    authority = Authority(tmp_path)
    database = {"bin_dir": OPENSSL_POSTGRES, "ssl_mode": "verify-full", "ca_file": authority.file}
    with fresh_settings() as fresh:
        document = fresh.model_dump()
        settings = Settings.model_validate(document | {"postgres": document["postgres"] | database})
        with running(settings, encrypting(postgres.component(settings), authority)):
            prepare_database(settings)
            yield settings


def encrypting(made: Component, authority: Authority) -> Component:
    """The embedded database with TLS."""

    def prepare() -> None:
        made.prepare()
        for source in authority.sign("database"):
            target = made.cwd / source.name
            shutil.copyfile(source, target)
            target.chmod(0o600)
            if made.account:
                os.chown(target, made.account.uid, made.account.gid)

    files = {"ssl_key_file": "database.key.pem", "ssl_cert_file": "database.certificate.pem"}
    options = [f"{name}={made.cwd / file}" for name, file in files.items()]
    command = (*made.command, *(part for option in ("ssl=on", *options) for part in ("-c", option)))
    return dataclasses.replace(made, command=command, prepare=prepare)


def test_every_connection_to_the_database_is_encrypted_and_the_server_is_known(
    encrypted: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    question = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    with psycopg.connect(**encrypted.postgres_parameters("fraud_writer")) as connection:
        assert connection.execute(question).fetchone() == (True,)
    stranger = {"sslrootcert": str(Authority(tmp_path_factory.mktemp("other")).file)}
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(**encrypted.postgres_parameters("fraud_writer") | stranger)
    dagster = (
        "import os, psycopg2\n"
        f"c = psycopg2.connect(host={LOOPBACK!r}, port={encrypted.postgres.port}, dbname='dagster', user='dagster',"
        " password=os.environ['PASSWORD'])\n"
        "print(c.info.ssl_in_use, c.info.dsn_parameters['sslmode'])"
    )
    environment = stack_environment(encrypted) | {"PASSWORD": encrypted.secret("postgres_dagster")}
    done = subprocess.run([sys.executable, "-c", dagster], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "verify-full"]

"""A lake in an object store: the keys stay in their file, and both kinds of readers find the same tables."""

import shutil
from pathlib import Path

import pytest

from fraud_domain.object_store import credentials, credentials_file, delta_place
from fraud_domain.settings import MissingSecretError, Settings
from fraud_domain.tables import table
from medallion_services.embedded import jars, logstore
from medallion_services.embedded.java import Java, find_java
from medallion_services.embedded.secrets import ensure_secrets
from medallion_services.embedded.spark_conf import spark_defaults, write_spark_conf
from medallion_services.errors import UserError

KEY_ID, SECRET_KEY = "key-id-of-a-test", "secret/key+of%a=test"
SILVER = table("silver.transactions")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(
        data_dir=tmp_path,
        lake_uri="s3a://bucket/lake",
        checkpoint_uri="s3a://bucket/checkpoints",
        s3={"endpoint": "http://127.0.0.1:9000"},
    )
    ensure_secrets(made)
    lines = ("[default]", f"aws_access_key_id = {KEY_ID}", f"aws_secret_access_key = {SECRET_KEY}")
    credentials_file(made).write_text("\n".join(lines))
    return made


def test_keys_are_read_as_they_are_written(settings: Settings) -> None:
    keys = credentials(settings)
    assert (keys.key_id, keys.secret_key) == (KEY_ID, SECRET_KEY)
    assert SECRET_KEY not in repr(keys)


@pytest.mark.parametrize("content", [None, "", "key = 1", "[default]\naws_access_key_id = x", "[other]\nx = y"])
def test_missing_keys_say_what_to_write_and_where(settings: Settings, content: str | None) -> None:
    path = credentials_file(settings)
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(MissingSecretError, match=r"\[default\].*aws_access_key_id") as told:
        credentials(settings)
    assert str(path) in str(told.value)


def test_spark_is_told_where_the_keys_are_and_not_the_keys(settings: Settings) -> None:
    directory = write_spark_conf(settings)
    text = "".join(path.read_text() for path in directory.iterdir())
    assert str(credentials_file(settings)) in text
    assert KEY_ID not in text
    assert SECRET_KEY not in text


def test_missing_keys_are_told_before_anything_starts(settings: Settings) -> None:
    credentials_file(settings).unlink()
    with pytest.raises(MissingSecretError, match="s3_credentials"):
        write_spark_conf(settings)


def test_a_reader_without_a_jvm_gets_its_own_name_of_the_place(settings: Settings) -> None:
    place = delta_place(settings, SILVER)
    assert place.uri == "s3://bucket/lake/silver/transactions"
    assert place.options["aws_secret_access_key"] == SECRET_KEY
    assert place.options["aws_conditional_put"] == "etag"
    assert place.options["aws_allow_http"] == "true"
    assert SECRET_KEY not in repr(place)


def test_a_store_with_tls_is_not_asked_without(settings: Settings) -> None:
    encrypted = settings.model_copy(update={"s3": settings.s3.model_copy(update={"endpoint": "https://store:9000"})})
    assert delta_place(encrypted, SILVER).options["aws_allow_http"] == "false"


def test_a_local_lake_needs_neither_keys_nor_jars(tmp_path: Path) -> None:
    local = Settings(data_dir=tmp_path)
    assert delta_place(local, SILVER).uri == f"{tmp_path}/lake/silver/transactions"
    assert jars.sets_needed(local) == ("spark", "kafka")
    assert not any("s3" in name for name in spark_defaults(local, jars.spark_jars(local)))


def test_every_driver_on_s3_commits_by_conditional_put(settings: Settings) -> None:
    properties = spark_defaults(settings, jars.spark_jars(settings))
    assert properties["spark.delta.logStore.s3a.impl"] == logstore.LOG_STORE
    assert properties["spark.databricks.delta.commit.idempotencyCheck.enabled"] == "true"
    assert str(logstore.logstore_jar(settings.cache_dir)) in properties["spark.jars"]


def test_all_in_the_store_needs_no_jar_at_the_same_path_on_a_worker(settings: Settings) -> None:
    assert "spark.executor.extraClassPath" not in spark_defaults(settings, jars.spark_jars(settings))


def test_cluster_without_its_secret_is_told(settings: Settings) -> None:
    cluster = settings.model_copy(update={"spark": settings.spark.model_copy(update={"master": "spark://host:7077"})})
    with pytest.raises(MissingSecretError, match="spark_auth"):
        write_spark_conf(cluster)
    (cluster.secrets_dir / "spark_auth").write_text("the-clusters-own")
    path = write_spark_conf(cluster) / "spark-defaults.conf"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "spark.authenticate true" in path.read_text()


def test_other_sources_are_another_jar(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(logstore.SOURCES, sources)
    same = logstore.logstore_jar(tmp_path, sources)
    assert same == logstore.logstore_jar(tmp_path)
    (sources / "ConditionalPutLogStore.java").write_text("// changed")
    assert logstore.logstore_jar(tmp_path, sources) != same


def test_the_same_sources_give_the_same_bytes(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "A.java").write_text("package a; public final class A { public static int one() { return 1; } }")
    java = find_java(settings)
    first, second = tmp_path / "first.jar", tmp_path / "second.jar"
    for jar in (first, second):
        logstore.build(jar, java, [], tmp_path)
    assert first.read_bytes() == second.read_bytes()


def test_without_a_compiler_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="Install a JDK"):
        logstore.build(tmp_path / "x.jar", Java(tmp_path, 17, ""), [])

"""Spark's configuration, in the one place it has: a generated SPARK_CONF_DIR.

Whatever starts with that variable set, `spark-submit job.py` or `python job.py`, gets the same session.
Nothing secret is written here, because Spark shows its configuration in its UI and event logs; except for the secret
of a cluster, which Spark takes from nowhere else: its file is for the owner's eyes only, and the UI redacts it.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path

from fraud_domain.object_store import credentials, credentials_file, is_local
from fraud_domain.settings import MissingSecretError, Settings
from medallion_services.embedded.jars import spark_jars
from medallion_services.embedded.logstore import LOG_STORE

_LOCAL_FS_JAR = "hadoop-bare-naked-local-fs"
_CHECKPOINT_MANAGER = "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
_STATE = "spark.sql.streaming.stateStore"

_LOG4J = """\
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %p %c{1}: %m%n%ex
# Says so on every start although local checkpoints avoid it on purpose.
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
# Warns about every consumer property that Spark itself adds.
logger.kafka.name = org.apache.kafka.clients
logger.kafka.level = error
# Warns about every customer that is met for the first time.
logger.state.name = org.apache.spark.sql.execution.python.streaming.TransformWithStateInPySparkStateServer
logger.state.level = error
"""


def on_cluster(settings: Settings) -> bool:
    """Whether executors are processes of their own, on whatever machine."""
    return not settings.spark.master.startswith("local")


def s3_properties(settings: Settings) -> dict[str, str]:
    """How Spark and Delta reach the object store; no key is among them, only where the file with the keys is."""
    hadoop = {
        "endpoint.region": settings.s3.region,
        "path.style.access": str(settings.s3.path_style).lower(),
        "aws.credentials.provider": "org.apache.hadoop.fs.s3a.auth.ProfileAWSCredentialsProvider",
        "auth.profile.file": str(credentials_file(settings)),
        "auth.profile.name": "default",
        # Bounded: the SDK asks five times, S3A seven times with pauses that double from half a second (a minute).
        "attempts.maximum": "5",
        "retry.limit": "7",
        # The other kind wants one more library.
        "input.stream.type": "classic",
    }
    if settings.s3.endpoint:
        hadoop["endpoint"] = settings.s3.endpoint
    return {f"spark.hadoop.fs.s3a.{name}": value for name, value in hadoop.items()} | {
        "spark.delta.logStore.s3a.impl": LOG_STORE,
        # A commit whose answer got lost is found again and counts, instead of being made twice.
        "spark.databricks.delta.commit.idempotencyCheck.enabled": "true",
        "spark.databricks.delta.maxCommitAttempts": "50",
    }


def _cluster_secret(settings: Settings) -> str:
    path = settings.secrets_dir / "spark_auth"
    if not path.exists():
        raise MissingSecretError(
            f"the cluster {settings.spark.master} has a secret, and this machine does not know it: write it to {path}"
            " (mode 0600), the same as in `spark.authenticate.secret` of master and workers; see docs/grow.md"
        )
    return settings.secret("spark_auth")


def cluster_properties(settings: Settings) -> dict[str, str]:
    """What an application on a cluster needs: its share, and the secret by which all parts know each other.

    Raises:
        MissingSecretError: there is no `spark_auth`.
    """
    properties = {
        "spark.authenticate": "true",
        "spark.authenticate.secret": _cluster_secret(settings),
        "spark.network.crypto.enabled": "true",
        "spark.executor.memory": settings.spark.executor_memory,
    }
    if settings.spark.cores is not None:
        properties["spark.cores.max"] = str(settings.spark.cores)
    if settings.spark.driver_host:
        properties["spark.driver.host"] = settings.spark.driver_host
    return properties


def spark_defaults(settings: Settings, jars: tuple[Path, ...]) -> dict[str, str]:
    """Every Spark property of the platform; `jars` is what is added to Spark.

    Raises:
        MissingSecretError: a cluster is asked for and there is no `spark_auth`.
    """
    all_remote = not is_local(settings.lake_root) and not is_local(settings.checkpoint_root)
    local_fs = "" if all_remote else ":".join(str(jar) for jar in jars if jar.name.startswith(_LOCAL_FS_JAR))
    partitions = str(settings.spark.shuffle_partitions)
    properties = {
        "spark.master": settings.spark.master,
        "spark.driver.memory": settings.spark.driver_memory,
        # Catalyst recurses over wide plans; the default stack overflows on them.
        "spark.driver.extraJavaOptions": "-Xss8m -Duser.timezone=UTC",
        "spark.executor.extraJavaOptions": "-Duser.timezone=UTC",
        "spark.jars": ",".join(map(str, jars)),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": partitions,
        "spark.default.parallelism": partitions,
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": partitions,
        f"{_STATE}.providerClass": "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
        f"{_STATE}.rocksdb.changelogCheckpointing.enabled": "true",
        f"{_STATE}.rocksdb.trackTotalNumberOfRows": "false",
        "spark.sql.streaming.metricsEnabled": "true",
        # A dozen queries have more generated classes than the default cache of 100 holds: each batch compiled them
        # anew, and the JIT began again with each.
        "spark.sql.codegen.cache.maxEntries": "4000",
        # What is held at hand is read two or three times: looking for the best compression of each column took longer.
        "spark.sql.inMemoryColumnarStorage.compressed": "false",
        # The alert lane's Python asks the JVM for every key's history: 15 % less CPU than over TCP, and one port less.
        "spark.python.unix.domain.socket.enabled": "true",
        # Each append puts the state of its table together, and each part of it makes its code anew.
        "spark.databricks.delta.snapshotPartitions": "1",
        # A second file for each commit, which nobody here reads, and which clean-up by delta-rs would leave behind.
        "spark.databricks.delta.writeChecksumFile.enabled": "false",
        "spark.ui.port": str(settings.spark.ui_port),
        "spark.ui.showConsoleProgress": "false",
        "spark.redaction.regex": "(?i)password|secret|token|dsn|sasl|access[.]?key",
        "spark.sql.warehouse.dir": str(settings.data_dir / "spark-warehouse"),
    }
    if local_fs:
        properties |= {
            # The file system class is loaded before spark.jars is.
            "spark.driver.extraClassPath": local_fs,
            "spark.executor.extraClassPath": local_fs,
            # Without libhadoop Hadoop forks `chmod` for every file; this one does not (ten times faster checkpoints).
            "spark.hadoop.fs.file.impl": "com.globalmentor.apache.hadoop.fs.BareLocalFileSystem",
        }
    if settings.uses_s3:
        properties |= s3_properties(settings)
    if is_local(settings.checkpoint_root):
        # The default goes through FileContext, which never asks fs.file.impl.
        properties["spark.sql.streaming.checkpointFileManagerClass"] = _CHECKPOINT_MANAGER
    if on_cluster(settings):
        properties |= cluster_properties(settings)
    else:
        properties |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return properties


def render(properties: Mapping[str, str]) -> str:
    """The text of spark-defaults.conf."""
    return "# Generated by `medallion up`; change settings, not this file.\n" + "".join(
        f"{name} {value}\n" for name, value in sorted(properties.items())
    )


def spark_env(settings: Settings) -> str:
    """What Spark reads from its environment only: the address of its web UI, and where scratch files go."""
    address = settings.spark.driver_host if on_cluster(settings) else "127.0.0.1"
    scratch = shlex.quote(str(settings.run_dir / "spark-tmp"))
    listen = f"export SPARK_LOCAL_IP={shlex.quote(address)}\n" if address else ""
    return f"{listen}export SPARK_LOCAL_DIRS={scratch}\n"


def write_spark_conf(settings: Settings) -> Path:
    """Write the configuration directory and return it (the value of SPARK_CONF_DIR).

    Raises:
        MissingSecretError: lake or cluster need a secret that only their operator has.
    """
    if settings.uses_s3:
        credentials(settings)
    directory = settings.run_dir / "spark-conf"
    directory.mkdir(parents=True, exist_ok=True)
    (settings.run_dir / "spark-tmp").mkdir(exist_ok=True)
    files = {"log4j2.properties": _LOG4J}
    files["spark-defaults.conf"] = render(spark_defaults(settings, spark_jars(settings)))
    files["spark-env.sh"] = spark_env(settings)
    for name, content in files.items():
        path = directory / name
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.touch(mode=0o600)
            path.chmod(0o600)
            path.write_text(content, encoding="utf-8")
    return directory

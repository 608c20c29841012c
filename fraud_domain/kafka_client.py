"""How every client of ours reaches the broker: address, encryption and login, for librdkafka and for Spark.

A password stays in its secret file: librdkafka gets it in memory, Spark gets a reference that Kafka's own client
resolves, so that it is in no configuration, plan or web page.
"""

from fraud_domain.settings import MissingSecretError, Settings

PASSWORD = "kafka_password"  # noqa: S105 - the name of a file
_PROVIDER = "org.apache.kafka.common.config.provider.DirectoryConfigProvider"
_SECURITY = "org.apache.kafka.common.security"


def client_configuration(settings: Settings) -> dict[str, str | int | bool]:
    """Bootstrap servers and security, in librdkafka's words.

    Raises:
        MissingSecretError: the broker wants a password and its file is missing.
    """
    kafka = settings.kafka
    found: dict[str, str | int | bool] = {"bootstrap.servers": settings.kafka_bootstrap}
    if kafka.security_protocol != "PLAINTEXT":
        found["security.protocol"] = kafka.security_protocol
    if kafka.encrypted:
        if kafka.ca_file:
            found["ssl.ca.location"] = str(kafka.ca_file)
        if kafka.client_certificate:
            found |= {f"ssl.{part}.location": str(kafka.client_certificate) for part in ("certificate", "key")}
    if kafka.logs_in:
        found |= {
            "sasl.mechanism": kafka.sasl_mechanism,
            "sasl.username": kafka.sasl_username,
            "sasl.password": settings.secret(PASSWORD),
        }
    return found


def spark_options(settings: Settings) -> dict[str, str]:
    """The same as options of Spark's Kafka source. Workers of a cluster need the same files at the same paths.

    Raises:
        MissingSecretError: the broker wants a password and its file is missing, or not one Kafka's client reads.
    """
    kafka = settings.kafka
    found = {"bootstrap.servers": settings.kafka_bootstrap}
    if kafka.security_protocol != "PLAINTEXT":
        found["security.protocol"] = kafka.security_protocol
    if kafka.encrypted:
        stores = {"truststore": kafka.ca_file, "keystore": kafka.client_certificate}
        for store, path in stores.items():
            if path:
                found |= {f"ssl.{store}.type": "PEM", f"ssl.{store}.location": str(path)}
    if kafka.logs_in:
        found |= {"sasl.mechanism": kafka.sasl_mechanism, **_login(settings)}
    return {f"kafka.{name}": value for name, value in found.items()}


def _login(settings: Settings) -> dict[str, str]:
    _require_bare_password(settings)
    scram = settings.kafka.sasl_mechanism.startswith("SCRAM")
    module = f"{_SECURITY}.scram.ScramLoginModule" if scram else f"{_SECURITY}.plain.PlainLoginModule"
    password = f"${{files:{settings.secrets_dir}:{PASSWORD}}}"
    return {
        "config.providers": "files",
        "config.providers.files.class": _PROVIDER,
        "config.providers.files.param.allowed.paths": str(settings.secrets_dir),
        "sasl.jaas.config": f'{module} required username="{settings.kafka.sasl_username}" password="{password}";',
    }


def _require_bare_password(settings: Settings) -> None:
    """Kafka's Java client puts the file as it is between two quotation marks."""
    path = settings.secrets_dir / PASSWORD
    if path.read_bytes() != settings.secret(PASSWORD).encode():
        raise MissingSecretError(
            f"{path} must hold the password and nothing else: write it without a line end, as `printf %s` does"
        )
    if any(each in settings.secret(PASSWORD) for each in '"\\'):
        raise MissingSecretError(
            f"the password in {path} has a \" or a \\ in it, which Kafka's Java client cannot read: choose another"
        )

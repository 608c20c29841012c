"""Every setting of the platform, its default for one laptop, and the environment variable that changes it.

`MEDALLION_KAFKA__BOOTSTRAP_SERVERS=...` sets `Settings.kafka.bootstrap_servers`, and so on. Secrets are
never environment defaults: they are files in `secrets_dir`, one per secret, made on first start (0600).
"""

from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fraud_domain.cards import TokenKey
from fraud_domain.intervals import interval_micros

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class MissingSecretError(RuntimeError):
    """A secret file is absent; the message names the file and how it is made."""


class Group(BaseModel):
    """A group of settings: unknown keys are errors, values do not change while running."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(Group):
    """The broker. `bootstrap_servers` empty means: start the embedded one on `port`.

    The password of `sasl_username` is the secret file `kafka_password`.
    """

    bootstrap_servers: str = ""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str = Field(default="", pattern=r'^[^"\\]*$')
    ca_file: Path | None = Field(default=None, description="PEM, who signed the broker; empty = the system's")
    client_certificate: Path | None = Field(default=None, description="One PEM file with key and certificate of ours")
    port: int = 9292
    controller_port: int = 9293
    partitions: int = Field(default=2, ge=1, description="Partitions of each topic; cores is a good number")
    retention_hours: int = Field(
        default=24 * 60, description="Must outlive the longest outage and any history replayed"
    )
    heap_mb: int = 384

    @property
    def encrypted(self) -> bool:
        """Whether the connection is TLS."""
        return self.security_protocol.endswith("SSL")

    @property
    def logs_in(self) -> bool:
        """Whether the broker wants a name and a password."""
        return self.security_protocol.startswith("SASL")

    @model_validator(mode="after")
    def _secured(self) -> Self:
        if self.security_protocol != "PLAINTEXT" and not self.bootstrap_servers:
            raise ValueError("security_protocol is for a broker of yours: set bootstrap_servers, too")
        if self.logs_in and not self.sasl_username:
            raise ValueError(f"security_protocol {self.security_protocol} needs sasl_username")
        return self


class PostgresSettings(Group):
    """The database. `host` empty means: start the embedded server on `port`."""

    host: str = ""
    port: int = 5632
    database: str = "fraud"
    dagster_database: str = "dagster"
    ssl_mode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    ca_file: Path | None = Field(default=None, description="PEM, who signed the server; wanted by the verifying modes")
    bin_dir: Path | None = Field(default=None, description="initdb and postgres to use; empty = the bundled ones")

    @property
    def tls(self) -> dict[str, str]:
        """How to encrypt, in libpq's connection keywords."""
        return {"sslmode": self.ssl_mode} | ({"sslrootcert": str(self.ca_file)} if self.ca_file else {})


class DagsterSettings(Group):
    """The control plane, on loopback: Dagster's webserver has no login of its own."""

    host: str = "127.0.0.1"
    port: int = 3000
    code_port: int = 4266


class DashboardSettings(Group):
    """The live dashboard and the analysts' desk, with its API."""

    enabled: bool = True
    host: str = Field(default="127.0.0.1", description="Where it listens; beyond loopback `auth` must be on")
    port: int = 8085
    auth: bool = Field(default=False, description="Login and tokens; off, everybody on this machine is admin `local`")
    session_hours: float = Field(default=10.0, gt=0, description="A login ends after this")
    requests_per_minute: int = Field(default=600, ge=1, description="Of one client; beyond it 429")
    hosts: str = Field(default="", description="Names under which it is reached, with commas, when behind a proxy")


class MetabaseSettings(Group):
    """A Metabase of one's own, for `medallion metabase provision`; the password is the secret `metabase_admin`."""

    url: str = "http://127.0.0.1:3001"
    email: str = Field(default="admin@medallion.example", description="The administrator who owns the content")


class SmtpSecurity(StrEnum):
    """How the connection to the mail server is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class NotifierSettings(Group):
    """Notifications. Whom to tell: `fraud.notification_route`; addresses: the secret file `notifications`."""

    enabled: bool = True
    dashboard_url: str = Field(default="", description="Address of the dashboard in messages; empty = the local one")
    smtp_host: str = Field(default="", description="The mail server; empty = no mail is sent")
    smtp_port: int = 587
    smtp_security: SmtpSecurity = SmtpSecurity.STARTTLS
    smtp_user: str = Field(default="", description="Login; its password is the secret `smtp_password`")
    mail_from: str = "medallion@localhost"
    push_contact: str = Field(default="mailto:medallion@localhost", description="Whom a push service may ask")
    senders: int = Field(default=4, ge=2, le=64, description="Messages under way at once; one recipient gets half")
    timeout_seconds: float = Field(default=10.0, gt=0, description="For one message to one recipient")
    lease_seconds: float = Field(
        default=60.0, gt=0, description="After a crash, its messages are sent again after this"
    )
    max_attempts: int = Field(default=12, ge=1, description="After so many the message is dead")
    silence_seconds: float = Field(default=180.0, gt=0, description="Heartbeat of a wanted stream older: alarm")
    outbox_age_seconds: float = Field(default=300.0, gt=0, description="Oldest message due and not sent: alarm")


class TriggerMode(StrEnum):
    """How a stream is driven."""

    PROCESSING_TIME = "processingTime"
    AVAILABLE_NOW = "availableNow"


class Trigger(Group):
    """Trigger of one stream; `interval` is a Spark interval and counts for processingTime only."""

    mode: TriggerMode = TriggerMode.PROCESSING_TIME
    interval: str = "10 seconds"


class Layout(StrEnum):
    """How streams are packed into Spark applications."""

    SHARED = "shared"
    TWO = "two"
    SEPARATE = "separate"


class AlertLane(StrEnum):
    """What the alert lane runs on."""

    SPARK = "spark"
    DIRECT = "direct"


class StreamSettings(Group):
    """The continuous streams."""

    layout: Layout = Field(default=Layout.TWO, description="one JVM, alerts | lake, or one each")
    alert_lane: AlertLane = Field(
        default=AlertLane.SPARK, description="Spark, or one process without it: sooner, and on one machine"
    )
    direct_memory_mb: int = Field(
        default=1_000, ge=1, description="Of the direct lane: histories used last, at hand; the others are in its file"
    )
    bronze: Trigger = Trigger(interval="4 seconds")
    silver: Trigger = Field(
        default=Trigger(interval="1 second"), description="Shorter than bronze's: it finds something when bronze wrote"
    )
    gold: Trigger = Trigger(interval="2 seconds")
    notes: Trigger = Field(
        default=Trigger(interval="30 seconds"),
        description="Labels and account events in bronze and silver, which are few; profiles and rule metrics, whose"
        " tables are written whole: a batch costs as much whatever it holds",
    )
    alerts: Trigger = Trigger(interval="500 milliseconds")
    alerts_about_others: Trigger = Field(
        default=Trigger(interval="5 seconds"), description="Decisions about merchants, devices, terminals, addresses"
    )
    max_offsets_per_trigger: int = Field(default=200_000, description="Bound of one lake batch, rows")
    alert_max_offsets_per_trigger: int = Field(default=20_000, description="Bound of one alert batch, rows")
    late_after: str = Field(default="10 minutes", description="kafka_timestamp - event_time beyond this is late")
    future_tolerance: str = Field(
        default="5 minutes", description="event_time ahead of kafka_timestamp beyond this is refused"
    )
    deduplicate_within: str = Field(default="24 hours", description="Horizon of duplicate detection, by arrival")
    heartbeat_seconds: float = 2.0
    stale_after_seconds: float = Field(
        default=60.0, description="A heartbeat older than this means a dead or hung stream"
    )

    @field_validator("late_after", "future_tolerance", "deduplicate_within")
    @classmethod
    def _is_interval(cls, value: str) -> str:
        interval_micros(value)
        return value

    @model_validator(mode="after")
    def _direct_lane_is_apart(self) -> Self:
        if self.alert_lane is AlertLane.DIRECT and self.layout is Layout.SHARED:
            raise ValueError(
                "alert_lane=direct is a process of its own and layout=shared puts every stream into one JVM: set"
                " MEDALLION_STREAMS__LAYOUT=two or separate"
            )
        return self


class SparkSettings(Group):
    """The engine. `local[*]` runs in the driver; `spark://host:7077` is a cluster, whose secret is `spark_auth`."""

    master: str = "local[2]"
    driver_memory: str = "1536m"
    driver_host: str = Field(default="", description="Where a cluster reaches the driver; empty = Spark's guess")
    executor_memory: str = Field(default="1g", description="Of each executor on a cluster")
    cores: int | None = Field(default=None, ge=1, description="Of a cluster, for each application; empty = all of it")
    shuffle_partitions: int = 2
    ui_port: int = 4040


class S3Settings(Group):
    """The object store of `s3a://` URIs. Its keys are the secret file `s3_credentials`, in AWS's own format."""

    endpoint: str = Field(default="", description="http(s)://host:port of an own store; empty = AWS in `region`")
    region: str = "us-east-1"
    path_style: bool = Field(
        default=True, description="http://host/bucket, as own stores want; off: http://bucket.host"
    )


class RuleSettings(Group):
    """How rule hits become alerts."""

    directory: Path = PROJECT_ROOT / "rules"
    medium_at: float = Field(default=40.0, description="Score from which a transaction is an alert (review)")
    high_at: float = Field(default=70.0, description="Score from which blocking is suggested")
    critical_at: float = 90.0
    alert_budget_per_day: int | None = Field(
        default=None, ge=1, description="Alerts that analysts can work on in a day; a check warns beyond it"
    )
    history_limit: int = Field(default=400, description="Events kept per customer in the state")
    history_days: int = Field(default=35, description="Age at which an event leaves the state")


class GeneratorSettings(Group):
    """The demo traffic of `medallion up`."""

    enabled: bool = True
    rate: float = Field(default=20.0, description="Transactions per second")
    customers: int = Field(default=3_000, description="Customers with a past; live traffic adds many who have none")
    seed: int = 42
    fraud_share: float = Field(default=0.02, description="Share of transactions that belong to a fraud scenario")
    history_days: int = Field(default=30, description="Past traffic sent once at the first start, so baselines exist")
    label_delay_seconds: float = Field(default=120.0, description="Demo stand-in for the weeks a chargeback takes")


def _root(uri: str, default: Path) -> str:
    return (uri or str(default)).removeprefix("file://").removeprefix("file:").rstrip("/")


class Settings(BaseSettings):
    """The whole configuration. Build it once at an entry point and pass it on."""

    model_config = SettingsConfigDict(
        env_prefix="MEDALLION_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
    )

    data_dir: Path = PROJECT_ROOT / ".medallion"
    cache_dir: Path = Path("~/.cache/medallion")
    ivy_settings: Path | None = Field(default=None, description="An ivysettings.xml that names a mirror for jars")
    lake_uri: str = Field(
        default="", description="Root of the Delta tables; empty = data_dir/lake, or s3a://bucket/path"
    )
    checkpoint_uri: str = Field(default="", description="Root of the checkpoints; empty = data_dir/checkpoints")
    token_key_id: str = Field(default="k1", pattern=r"^[a-z0-9]{1,8}$")

    kafka: KafkaSettings = KafkaSettings()
    postgres: PostgresSettings = PostgresSettings()
    dagster: DagsterSettings = DagsterSettings()
    dashboard: DashboardSettings = DashboardSettings()
    notifier: NotifierSettings = NotifierSettings()
    metabase: MetabaseSettings = MetabaseSettings()
    streams: StreamSettings = StreamSettings()
    spark: SparkSettings = SparkSettings()
    s3: S3Settings = S3Settings()
    rules: RuleSettings = RuleSettings()
    generator: GeneratorSettings = GeneratorSettings()

    @field_validator("data_dir", "cache_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @property
    def lake_root(self) -> str:
        """Root of the Delta tables, without a trailing slash: a path of this machine, or an address elsewhere."""
        return _root(self.lake_uri, self.data_dir / "lake")

    @property
    def checkpoint_root(self) -> str:
        """Root of the stream checkpoints, as `lake_root`."""
        return _root(self.checkpoint_uri, self.data_dir / "checkpoints")

    @property
    def uses_s3(self) -> bool:
        """Whether lake or checkpoints are in an object store."""
        return any(root.startswith("s3a://") for root in (self.lake_root, self.checkpoint_root))

    @property
    def secrets_dir(self) -> Path:
        """One file per secret, readable by the owner only."""
        return self.data_dir / "secrets"

    @property
    def run_dir(self) -> Path:
        """Process ids, generated configuration and other things that only matter while running."""
        return self.data_dir / "run"

    @property
    def log_dir(self) -> Path:
        """One log per component."""
        return self.data_dir / "logs"

    @property
    def kafka_bootstrap(self) -> str:
        """Where clients find the broker."""
        return self.kafka.bootstrap_servers or f"127.0.0.1:{self.kafka.port}"

    @property
    def postgres_host(self) -> str:
        """Where clients find the database."""
        return self.postgres.host or "127.0.0.1"

    def secret(self, name: str) -> str:
        """The secret called `name`.

        Raises:
            MissingSecretError: its file does not exist.
        """
        path = self.secrets_dir / name
        try:
            return path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise MissingSecretError(
                f"secret '{name}' not found at {path}; `medallion up` makes it, or write the file yourself (mode 0600)"
            ) from None

    def postgres_parameters(self, role: str) -> dict[str, Any]:
        """Connection keywords for psycopg as `role` (fraud_writer, fraud_reader, ...).

        Raises:
            MissingSecretError: the role has no password file.
        """
        return {
            "host": self.postgres_host,
            "port": self.postgres.port,
            "dbname": self.postgres.database,
            "user": role,
            "password": self.secret(f"postgres_{role}"),
            **self.postgres.tls,
        }

    def token_key(self) -> TokenKey:
        """The current tokenisation key.

        Raises:
            MissingSecretError: it has not been made yet.
        """
        return TokenKey(self.token_key_id, bytes.fromhex(self.secret(f"token_key_{self.token_key_id}")))

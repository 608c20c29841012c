"""The table registry: every table of the platform, what it holds, who owns it, what it is made from.

Spark schemas, Dagster assets, data-quality checks, database documentation and tests are derived from
`TABLES`; nothing about a table is written down anywhere else. Types are Spark SQL type names.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fraud_domain.contract import (
    AMOUNT_PRECISION,
    AMOUNT_SCALE,
    AccountEvent,
    FieldSpec,
    FraudLabel,
    Transaction,
    field_specs,
)

MONEY = f"decimal({AMOUNT_PRECISION},{AMOUNT_SCALE})"
TOTAL = f"decimal(28,{AMOUNT_SCALE})"
"""Sums of money: ten more integer digits than one amount."""

_SPARK_TYPES = {
    "string": "string",
    "enum": "string",
    "decimal": MONEY,
    "timestamp": "timestamp",
    "double": "double",
    "integer": "int",
    "boolean": "boolean",
}


BATCH = "batch"
_TOPICS = "kafka."


class Store(StrEnum):
    """Where a table lives."""

    DELTA = "delta"
    POSTGRES = "postgres"


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `type` is a Spark SQL type name."""

    name: str
    type: str
    description: str
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table. `key` is unique within the table; `upstream` holds table or topic names (`kafka.x`).

    `stream` is `BATCH` for a table that only batch jobs fill.
    """

    layer: str
    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    upstream: tuple[str, ...]
    stream: str
    owner: str = "team:data-platform"
    store: Store = Store.DELTA
    partition_by: tuple[str, ...] = ()
    fresh_within_minutes: int | None = None
    append_only: bool = True
    """Of a Delta table: whether streams only ever append to it; otherwise each batch adds to rows that are there."""

    @property
    def full_name(self) -> str:
        """`layer.name`, the name people use."""
        return f"{self.layer}.{self.name}"

    @property
    def topic(self) -> str:
        """The Kafka topic that fills a table of bronze.

        Raises:
            ValueError: no topic fills this table.
        """
        if not self.upstream[0].startswith(_TOPICS):
            raise ValueError(f"{self.full_name} is not filled by a topic")
        return self.upstream[0].removeprefix(_TOPICS)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Column names in table order."""
        return tuple(column.name for column in self.columns)

    @property
    def delta_schema(self) -> dict[str, Any]:
        """Columns as the schema that Delta's protocol writes into its log."""
        return {"type": "struct", "fields": [_delta_field(c.name, c.type, c.nullable) for c in self.columns]}


_DELTA_NAMES = {"int": "integer", "bigint": "long"}


def _delta_field(name: str, type_: str, nullable: bool = True) -> dict[str, Any]:
    return {"name": name, "type": _delta_type(type_), "nullable": nullable, "metadata": {}}


def _delta_type(name: str) -> Any:
    if name.startswith("array<"):
        element = _delta_type(name.removeprefix("array<").removesuffix(">"))
        return {"type": "array", "elementType": element, "containsNull": True}
    if name.startswith("struct<"):
        fields = (field.split(":", 1) for field in name.removeprefix("struct<").removesuffix(">").split(","))
        return {"type": "struct", "fields": [_delta_field(key, kind) for key, kind in fields]}
    return _DELTA_NAMES.get(name, name)


def contract_columns(specs: tuple[FieldSpec, ...]) -> tuple[Column, ...]:
    """Contract fields as table columns."""
    return tuple(Column(s.name, _SPARK_TYPES[s.kind], s.description, nullable=not s.required) for s in specs)


TRANSACTION_COLUMNS = contract_columns(field_specs(Transaction))
LABEL_COLUMNS = contract_columns(field_specs(FraudLabel))
ACCOUNT_EVENT_COLUMNS = contract_columns(field_specs(AccountEvent))

POSITION = (
    Column("topic", "string", "Kafka topic the row came from", nullable=False),
    Column("partition", "int", "Kafka partition", nullable=False),
    Column("offset", "bigint", "Kafka offset", nullable=False),
    Column("kafka_timestamp", "timestamp", "When the broker got it (CreateTime)", nullable=False),
)
INGESTED = Column("ingested_at", "timestamp", "When bronze read it; the clock of duplicate detection", nullable=False)
INGEST_DATE = Column("ingest_date", "date", "Day of ingested_at, UTC; partition", nullable=False)
EVENT_DATE = Column("event_date", "date", "Day of event_time, UTC; partition", nullable=False)

RAW_COLUMNS = (
    *POSITION,
    Column("key", "binary", "Kafka key"),
    Column("value", "binary", "The message, byte for byte, but for card numbers, which are masked"),
    Column("card_masked", "boolean", "A card number was found in the message and masked", nullable=False),
    INGESTED,
    INGEST_DATE,
)


def _bronze(name: str, topic: str, description: str, owner: str = "team:data-platform") -> TableSpec:
    return TableSpec(
        layer="bronze",
        name=name,
        description=description,
        columns=RAW_COLUMNS,
        key=("topic", "partition", "offset"),
        upstream=(f"kafka.{topic}",),
        stream="bronze",
        owner=owner,
        partition_by=("ingest_date",),
        fresh_within_minutes=15 if name == "transactions" else None,
    )


METRIC_KEY = (
    Column("window_start", "timestamp", "Start of the window, event time, UTC", nullable=False),
    Column("dimension", "string", "all, type, channel, category (MCC), country or state", nullable=False),
    Column("value", "string", "Value of the dimension; 'unknown' when the field is absent", nullable=False),
    Column("currency", "string", "ISO 4217; sums are never taken across currencies", nullable=False),
)
METRIC_MEASURES = (
    Column("transactions", "bigint", "Attempts, declines and refunds included", nullable=False),
    Column("approved", "bigint", "Approved attempts", nullable=False),
    Column("declined", "bigint", "Declined attempts", nullable=False),
    Column("refunds", "bigint", "Rows with a negative amount", nullable=False),
    Column("late", "bigint", "Rows that arrived late and were added after the fact", nullable=False),
    Column("amount", TOTAL, "Sum of approved positive amounts", nullable=False),
    Column("refund_amount", TOTAL, "Sum of refunds, a negative number", nullable=False),
)


def _metrics(name: str, span: str, store: Store = Store.DELTA) -> TableSpec:
    return TableSpec(
        layer="gold" if store is Store.DELTA else "mart",
        name=name,
        description=f"Transactions per {span}, by type, channel, category, country and state; late rows correct it",
        columns=METRIC_KEY + METRIC_MEASURES + ((EVENT_DATE,) if store is Store.DELTA else ()),
        key=("window_start", "dimension", "value", "currency"),
        upstream=("silver.transactions",) if store is Store.DELTA else (f"gold.{name}",),
        stream="gold",
        owner="team:fraud-analytics",
        store=store,
        partition_by=("event_date",) if store is Store.DELTA else (),
        fresh_within_minutes=30,
        append_only=False,
    )


def _profiles(name: str, entity: str, id_column: Column) -> TableSpec:
    return TableSpec(
        layer="gold",
        name=name,
        description=f"What is usual for each {entity}: counts, spend and its spread, first and last seen",
        columns=(
            id_column,
            METRIC_KEY[3],
            Column("transactions", "bigint", "Attempts", nullable=False),
            Column("declined", "bigint", "Declined attempts", nullable=False),
            Column("refunds", "bigint", "Refunds", nullable=False),
            Column("purchases", "bigint", "Approved rows with a positive amount", nullable=False),
            Column("amount", TOTAL, "Sum of purchases; mean = amount / purchases", nullable=False),
            Column("amount_squares", "double", "Sum of squared purchases, for the standard deviation", nullable=False),
            Column("largest", MONEY, "Largest purchase"),
            Column("first_seen", "timestamp", "First event time", nullable=False),
            Column("last_seen", "timestamp", "Last event time", nullable=False),
        ),
        key=(id_column.name, "currency"),
        upstream=("silver.transactions",),
        stream="gold",
        owner="team:fraud-analytics",
        fresh_within_minutes=30,
        append_only=False,
    )


DECISION_COLUMNS = (
    Column("subject_kind", "string", "Whom the decision is about: customer, device, merchant, ...", nullable=False),
    Column("subject", "string", "Id of whom it is about", nullable=False),
    Column("transaction_id", "string", "The transaction judged", nullable=False),
    Column("customer_id", "string", "Account holder", nullable=False),
    Column("card_token", "string", "Keyed token of the card"),
    Column("card_last4", "string", "Last four digits"),
    Column("merchant_id", "string", "Merchant"),
    Column("event_time", "timestamp", "When the transaction happened", nullable=False),
    Column("amount", MONEY, "Money in `currency`", nullable=False),
    Column("currency", "string", "ISO 4217", nullable=False),
    Column("type", "string", "How the money moved", nullable=False),
    Column("channel", "string", "Where the customer stood", nullable=False),
    Column("score", "double", "0 to 100, of the leading typology", nullable=False),
    Column("level", "string", "none, low, medium, high or critical", nullable=False),
    Column("typology", "string", "Leading fraud scenario"),
    Column("alert", "boolean", "Whether an alert was raised", nullable=False),
    Column("alert_id", "string", "Deterministic id of the alert"),
    Column("rule_set_version", "string", "Content hash of the rule catalogue in force", nullable=False),
    Column(
        "reasons", "string", "JSON array: rule, text, observed, threshold, window, weight, contribution", nullable=False
    ),
    Column("shadow", "string", "JSON array: shadow rules that would have hit", nullable=False),
    Column("abstained", "array<string>", "Rules without enough history to judge", nullable=False),
    *POSITION,
)

_RULE_METRICS_KEY = (
    Column("event_date", "date", "Day of the event, UTC", nullable=False),
    Column("rule_id", "string", "Rule", nullable=False),
    Column("rule_version", "string", "Content hash of the rule", nullable=False),
)
_RULE_METRICS = (
    *_RULE_METRICS_KEY,
    Column("hits", "bigint", "Transactions on which the rule fired", nullable=False),
    Column("alerts", "bigint", "Of these, transactions that became an alert", nullable=False),
    Column("shadow_hits", "bigint", "Hits while the rule was in shadow", nullable=False),
    Column("points", "double", "Sum of the points the rule added", nullable=False),
)

TABLES: tuple[TableSpec, ...] = (
    _bronze("transactions", "transactions", "Every transaction message as it came, append-only"),
    _bronze("labels", "fraud_labels", "Every label message as it came, append-only", "team:fraud"),
    _bronze("account_events", "account_events", "Every account event as it came, append-only"),
    _bronze("decisions", "fraud_decisions", "The decision log of the alert lane as it came", "team:fraud"),
    TableSpec(
        layer="silver",
        name="transactions",
        description="Transactions that meet the contract, typed, each once",
        columns=(
            *TRANSACTION_COLUMNS,
            Column("is_late", "boolean", "kafka_timestamp - event_time is beyond the limit", nullable=False),
            *POSITION,
            INGESTED,
            EVENT_DATE,
        ),
        key=("transaction_id",),
        upstream=("bronze.transactions",),
        stream="silver",
        partition_by=("event_date",),
        fresh_within_minutes=15,
    ),
    TableSpec(
        layer="silver",
        name="labels",
        description="Fraud labels that meet the contract, as they became known; corrections are new rows",
        columns=(*LABEL_COLUMNS, *POSITION, INGESTED),
        key=("transaction_id", "source", "label_time"),
        upstream=("bronze.labels",),
        stream="silver",
        owner="team:fraud",
    ),
    TableSpec(
        layer="silver",
        name="account_events",
        description="Logins and account changes that meet the contract, each once",
        columns=(*ACCOUNT_EVENT_COLUMNS, *POSITION, INGESTED, EVENT_DATE),
        key=("event_id",),
        upstream=("bronze.account_events",),
        stream="silver",
        partition_by=("event_date",),
    ),
    TableSpec(
        layer="silver",
        name="quarantine",
        description="Messages that break the contract, with every reason and the payload, for repair and replay",
        columns=(
            *POSITION,
            Column("value", "binary", "The message as bronze keeps it"),
            Column("reason_code", "string", "First reason", nullable=False),
            Column("errors", "array<struct<code:string,field:string,detail:string>>", "Every reason", nullable=False),
            Column("contract_version", "int", "Contract it was judged by", nullable=False),
            INGESTED,
            INGEST_DATE,
        ),
        key=("topic", "partition", "offset"),
        upstream=("bronze.transactions", "bronze.labels", "bronze.account_events"),
        stream="silver",
        partition_by=("ingest_date",),
    ),
    TableSpec(
        layer="silver",
        name="late_transactions",
        description="Which silver transactions came late, and by how much; they are kept and counted",
        columns=(
            Column("transaction_id", "string", "The late transaction", nullable=False),
            Column("event_time", "timestamp", "When it happened", nullable=False),
            Column("lateness_seconds", "double", "kafka_timestamp - event_time", nullable=False),
            *POSITION,
            EVENT_DATE,
        ),
        key=("transaction_id",),
        upstream=("silver.transactions",),
        stream="silver",
        partition_by=("event_date",),
    ),
    _metrics("transaction_metrics_minute", "minute"),
    _metrics("transaction_metrics_hour", "hour"),
    _profiles("customer_profiles", "customer", Column("customer_id", "string", "Account holder", nullable=False)),
    _profiles("merchant_profiles", "merchant", Column("merchant_id", "string", "Merchant", nullable=False)),
    TableSpec(
        layer="gold",
        name="fraud_decisions",
        description="The decision on every transaction: score, reasons, what abstained, under which rules",
        columns=(*DECISION_COLUMNS, EVENT_DATE),
        key=("transaction_id", "subject_kind"),
        upstream=("bronze.decisions",),
        stream="gold",
        owner="team:fraud",
        partition_by=("event_date",),
        fresh_within_minutes=30,
    ),
    TableSpec(
        layer="gold",
        name="fraud_alerts",
        description="The decisions that raised an alert",
        columns=(*DECISION_COLUMNS, EVENT_DATE),
        key=("transaction_id", "subject_kind"),
        upstream=("bronze.decisions",),
        stream="gold",
        owner="team:fraud",
        partition_by=("event_date",),
    ),
    TableSpec(
        layer="gold",
        name="recomputed_decisions",
        description="Decisions made again from silver, by day: by a new rule set, or to prove the stream right",
        columns=(*DECISION_COLUMNS, EVENT_DATE),
        key=("transaction_id", "subject_kind"),
        upstream=("silver.transactions", "silver.labels", "silver.account_events"),
        stream=BATCH,
        owner="team:fraud",
        partition_by=("event_date",),
    ),
    TableSpec(
        layer="gold",
        name="rule_metrics_daily",
        description="What each rule did each day",
        columns=_RULE_METRICS,
        key=("event_date", "rule_id", "rule_version"),
        upstream=("gold.fraud_decisions",),
        stream="gold",
        owner="team:fraud",
        append_only=False,
    ),
    TableSpec(
        layer="alerts",
        name="alerts",
        description="The analysts' queue: alerts with reasons, provenance and status",
        columns=(
            Column("alert_id", "string", "Deterministic: the same cause never raises two", nullable=False),
            *(c for c in DECISION_COLUMNS if c.name not in {"alert", "alert_id", "shadow", "abstained"}),
            Column("detected_at", "timestamp", "When the row was written, database clock", nullable=False),
            Column("status", "string", "new, in_review, closed, ...", nullable=False),
        ),
        key=("alert_id",),
        upstream=("kafka.transactions", "kafka.account_events", "kafka.fraud_labels"),
        stream="alerts",
        owner="team:fraud",
        store=Store.POSTGRES,
    ),
    TableSpec(
        layer="alerts",
        name="outbox",
        description="One row per alert and recipient to notify; written with the alert, sent at least once",
        columns=(
            Column("outbox_id", "bigint", "Order of creation", nullable=False),
            Column("alert_id", "string", "The alert", nullable=False),
            Column("channel", "string", "How to send", nullable=False),
            Column("recipient", "string", "Whom to send to", nullable=False),
            Column("status", "string", "pending, sent, skipped or dead", nullable=False),
            Column("created_at", "timestamp", "When it was queued", nullable=False),
        ),
        key=("alert_id", "channel", "recipient"),
        upstream=("alerts.alerts",),
        stream="alerts",
        owner="team:fraud",
        store=Store.POSTGRES,
    ),
    TableSpec(
        layer="alerts",
        name="batch_ledger",
        description="One row per batch that wrote alerts or marts, in the transaction that wrote them",
        columns=(
            Column("stream", "string", "Stream", nullable=False),
            Column("generation", "string", "Checkpoint generation", nullable=False),
            Column("batch_id", "bigint", "Micro-batch", nullable=False),
            Column("alerts", "int", "Alerts in the batch", nullable=False),
            Column("payload_sha256", "string", "Hash of the alerts: a replay must repeat it", nullable=False),
            Column("committed_at", "timestamp", "When", nullable=False),
        ),
        key=("stream", "generation", "batch_id"),
        upstream=("kafka.transactions", "kafka.account_events", "kafka.fraud_labels"),
        stream="alerts",
        owner="team:fraud",
        store=Store.POSTGRES,
    ),
    _metrics("transaction_metrics_minute", "minute", Store.POSTGRES),
    _metrics("transaction_metrics_hour", "hour", Store.POSTGRES),
    TableSpec(
        layer="mart",
        name="rule_metrics_daily",
        description="What each rule did each day, for dashboards",
        columns=_RULE_METRICS,
        key=("event_date", "rule_id", "rule_version"),
        upstream=("gold.rule_metrics_daily",),
        stream="gold",
        owner="team:fraud-analytics",
        store=Store.POSTGRES,
    ),
)

_BY_NAME = {table.full_name: table for table in TABLES}


def table(full_name: str) -> TableSpec:
    """The table called `layer.name`.

    Raises:
        KeyError: there is none; the message lists those there are.
    """
    try:
        return _BY_NAME[full_name]
    except KeyError:
        raise KeyError(f"no table '{full_name}'; known: {', '.join(sorted(_BY_NAME))}") from None


def delta_tables() -> tuple[TableSpec, ...]:
    """Tables of the lake, upstream first."""
    return tuple(t for t in TABLES if t.store is Store.DELTA)


def postgres_tables() -> tuple[TableSpec, ...]:
    """Tables of the database."""
    return tuple(t for t in TABLES if t.store is Store.POSTGRES)


def location(lake_root: str, spec: TableSpec) -> str:
    """Path or URI of a Delta table under the lake's root."""
    return f"{lake_root}/{spec.layer}/{spec.name}"

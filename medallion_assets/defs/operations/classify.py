"""What an error of Spark, Kafka, Delta or PostgreSQL means for operators, and which runbook page helps. Pure."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """`retry` mends itself, `needs_operator` does not, `poison` comes back with the same data or rules."""

    RETRY = "retry"
    NEEDS_OPERATOR = "needs_operator"
    POISON = "poison"


@dataclass(frozen=True, slots=True)
class Cause:
    """A kind, a short name for the cause, and the page `docs/runbook/<page>.md`."""

    kind: Kind
    name: str
    page: str


OTHER = Cause(Kind.NEEDS_OPERATOR, "unknown cause", "stream-stopped")

_R, _O, _P = Kind.RETRY, Kind.NEEDS_OPERATOR, Kind.POISON
PATTERNS: tuple[tuple[str, Cause], ...] = (
    # Of the house; their messages name the cause better than what Spark wraps around them.
    (r"ReplayDiffersError|was committed with other alerts", Cause(_P, "a replayed batch differs", "circuit-open")),
    (r"FencedError|this driver holds epoch", Cause(_R, "another driver took over", "second-writer")),
    (r"StreamHeldError|already being written by", Cause(_O, "a second writer", "second-writer")),
    (r"LostCheckpointError|StoreError|has rows, but its checkpoint", Cause(_O, "a lost checkpoint", "lost-checkpoint")),
    (r"RuleError|\.yaml:\d+:", Cause(_P, "a rule file is wrong", "circuit-open")),
    (r"NoRuleSetError|no rule set was ever published", Cause(_O, "no rule set is published", "circuit-open")),
    (r"MissingSecretError|secret '.+' not found", Cause(_O, "a secret is missing", "circuit-open")),
    (r"FailpointError", Cause(_R, "a failpoint of the fault harness", "stream-stopped")),
    # Kafka. Lost offsets first: the message also names a timeout now and then.
    (
        r"OffsetOutOfRange|DataLossError|failOnDataLoss|[Dd]ata (?:loss|may have been lost)|KAFKA_DATA_LOSS"
        r"|offsets? (?:are|is) not available|could not find (?:start|end) offsets?"
        r"|[Pp]artitions? .{0,80}(?:have been|was) (?:lost|deleted)",
        Cause(_O, "Kafka lost data", "kafka-data-loss"),
    ),
    (
        r"UnknownTopicOrPartition|UNKNOWN_TOPIC_OR_PART|TopicMissingError",
        Cause(_O, "a topic is missing", "kafka-data-loss"),
    ),
    (r"RecordTooLarge|MSG_SIZE_TOO_LARGE", Cause(_P, "a message is too large", "quarantine")),
    (
        r"LogNotWrittenError|decisions unacknowledged|TimeoutException|DisconnectException|_TRANSPORT"
        r"|[Bb]roker .{0,60}not available|_ALL_BROKERS_DOWN|LEADER_NOT_AVAILABLE|NotLeaderOrFollower",
        Cause(_R, "Kafka does not answer", "stream-stopped"),
    ),
    # PostgreSQL.
    (r"InsufficientPrivilege|permission denied for", Cause(_O, "a role may not do this", "circuit-open")),
    (r"password authentication failed", Cause(_O, "a database password is wrong", "database-down")),
    (r"DiskFull|could not extend file", Cause(_O, "the database's disk is full", "database-down")),
    (r"UndefinedTable|UndefinedColumn|UndefinedFunction", Cause(_O, "migrations are missing", "database-down")),
    (
        r"CheckViolation|NotNullViolation|NumericValueOutOfRange|UntranslatableCharacter",
        Cause(_P, "the database refuses a row", "circuit-open"),
    ),
    (r"SerializationFailure|DeadlockDetected|LockNotAvailable", Cause(_R, "a lock was contended", "database-down")),
    (
        r"OperationalError|AdminShutdown|connection (?:to server|refused|is closed|already closed)|PoolTimeout"
        r"|server closed the connection|the database system is (?:starting|shutting)",
        Cause(_R, "the database does not answer", "database-down"),
    ),
    # Machine.
    (
        r"No space left on device|ENOSPC|disk quota|database or disk is full",
        Cause(_O, "the disk is full", "stream-stopped"),
    ),
    (r"OutOfMemoryError|Java heap space|GC overhead|MemoryError", Cause(_O, "memory ran out", "circuit-open")),
    # Delta.
    (
        r"ConcurrentAppend|ConcurrentDelete|ConcurrentTransaction|ConcurrentWriteException|ProtocolChangedException"
        r"|DELTA_CONCURRENT_\w+|CommitFailedError.+[Cc]oncurrent transaction",
        Cause(_R, "two writers met in Delta", "second-writer"),
    ),
    (
        r"DELTA_(?:FAILED_TO_MERGE_FIELDS|SCHEMA\w*|METADATA_MISMATCH)|[Ss]chema mismatch|AnalysisException.+schema",
        Cause(_P, "a table has another schema", "circuit-open"),
    ),
    (
        r"DELTA_\w*(?:LOG|VERSION\w*)_NOT_(?:FOUND|CONTIGUOUS)\w*|DELTA_TRUNCATED_TRANSACTION_LOG"
        r"|DELTA_FILE_NOT_FOUND\w*|Delta log .{0,80}(?:corrupt|missing)",
        Cause(_O, "files of a Delta table are missing", "lost-checkpoint"),
    ),
    # Spark.
    (
        r"STATE_STORE|StateStore|CheckpointFileManager|checkpoint .{0,80}(?:corrupt|damaged|missing)"
        r"|(?:offsets|commits|metadata|sources)/\d+ does not exist|CANNOT_LOAD_STATE|[Ii]ncomplete log file"
        r"|FileNotFoundException.+checkpoint",
        Cause(_O, "a checkpoint is damaged", "lost-checkpoint"),
    ),
    (r"no heartbeat of .+hung", Cause(_R, "a stream hung", "stream-stopped")),
    (r"guard: |Run timed out|no heartbeat", Cause(_R, "a run ended without a word", "stream-stopped")),
    (r"exit code -(?:9|15|6|11)\b|killed by SIG", Cause(_R, "a driver was killed", "stream-stopped")),
    (r"exit code 75\b", Cause(_O, "a second writer", "second-writer")),
    (
        r"SparkUpgradeException|UnsupportedClassVersion|ClassNotFound|NoSuchMethodError|JAVA_GATEWAY_EXITED",
        Cause(_O, "Spark, its jars and Java do not fit", "circuit-open"),
    ),
    (
        r"EngineGoneError|JVM is gone|Py4JNetworkError|SparkContext (?:was|has been) (?:shut|stopped)|ExecutorLost"
        r"|FetchFailed",
        Cause(_R, "Spark lost a part of itself", "stream-stopped"),
    ),
    (
        r"Connection (?:refused|reset)|Broken pipe|Network is unreachable",
        Cause(_R, "a connection broke", "stream-stopped"),
    ),
)
"""In order: the first that is found counts. Patterns are of the messages of spark_jobs/, of Spark 4.2's and Delta 4's
error conditions, of librdkafka's codes and of psycopg's exception names."""

_COMPILED = tuple((re.compile(pattern), cause) for pattern, cause in PATTERNS)


def classify(text: str) -> Cause:
    """The cause that an error's text tells of; one nobody knows needs an operator."""
    return next((cause for pattern, cause in _COMPILED if pattern.search(text)), OTHER)

"""The event contract as Spark expressions: parse, then judge every field by explicit rules.

`from_json` alone is not a validator: it accepts `{}`, wrong-case keys, trailing garbage and rounds
decimals. So every field is parsed as text and converted here, and each failure becomes a reason code.
"""

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as t

from fraud_domain.contract import (
    AMOUNT,
    EDGE_ONLY_FIELDS,
    EPOCH_MS,
    INTEGER,
    ISO_WITH_OFFSET,
    LEAKAGE_FIELDS,
    MAX_MESSAGE_BYTES,
    MAX_TEXT,
    NUMBER,
    OLDEST_EVENT,
    REFUSED_FIELDS,
    SCHEMA_VERSION,
    SCIENTIFIC,
    AccountEvent,
    Event,
    FieldSpec,
    FraudLabel,
    Transaction,
    field_specs,
)
from fraud_domain.tables import MONEY

_CORRUPT = "_corrupt_record"
_JSON_OPTIONS = {
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": _CORRUPT,
    # Spark reads {'a': NaN} unless told not to; JSON has neither.
    "allowSingleQuotes": "false",
    "allowNonNumericNumbers": "false",
}


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Spark intervals that bound event_time against kafka_timestamp."""

    late_after: str
    future_tolerance: str


@dataclass(frozen=True, slots=True)
class _Judged:
    """A field's typed value, and the condition under which the text is wrong."""

    spec: FieldSpec
    value: Column
    wrong: Column
    code: str


def parse_transactions(raw: DataFrame, limits: TimeLimits) -> DataFrame:
    """Bronze rows with the typed fields of `Transaction`, `is_late`, `event_date`, and `errors`.

    `errors` is null for a row that meets the contract, else an array of (code, field, detail).
    """
    refused = tuple(sorted(EDGE_ONLY_FIELDS | REFUSED_FIELDS | LEAKAGE_FIELDS))
    parsed = _parse(raw, Transaction, refused, limits)
    is_late = F.col("event_time") < F.col("kafka_timestamp") - F.expr(f"INTERVAL {limits.late_after}")
    return parsed.withColumns({"is_late": is_late, "event_date": F.to_date("event_time")})


def parse_labels(raw: DataFrame, limits: TimeLimits) -> DataFrame:
    """Bronze rows with the typed fields of `FraudLabel`, and `errors`."""
    return _parse(raw, FraudLabel, (), limits)


def parse_account_events(raw: DataFrame, limits: TimeLimits) -> DataFrame:
    """Bronze rows with the typed fields of `AccountEvent`, `event_date`, and `errors`."""
    return _parse(raw, AccountEvent, (), limits).withColumn("event_date", F.to_date("event_time"))


def _parse(raw: DataFrame, model: type[Event], refused: tuple[str, ...], limits: TimeLimits) -> DataFrame:
    specs = field_specs(model)
    names = [*(s.name for s in specs), *refused, _CORRUPT]
    schema = t.StructType([t.StructField(name, t.StringType()) for name in names])
    text = F.col("value").cast("string")
    frame = raw.withColumn("_j", F.from_json(text, schema, _JSON_OPTIONS))
    judged = [_judge(spec, F.col(f"_j.{spec.name}")) for spec in specs]
    frame = frame.withColumns({j.spec.name: j.value for j in judged})
    problems = [*_message_problems(text), *_refusals(refused), *(_field_problem(j) for j in judged)]
    problems += _time_problems(specs, limits)
    any_wrong = F.lit(False)
    for wrong, _ in problems:
        any_wrong = any_wrong | F.coalesce(wrong, F.lit(False))
    listed = F.filter(F.array(*(F.when(wrong, error) for wrong, error in problems)), lambda error: error.isNotNull())
    return frame.withColumn("errors", F.when(any_wrong, listed)).drop("_j")


def _error(code: str, field: str, detail: Column) -> Column:
    return F.struct(F.lit(code).alias("code"), F.lit(field).alias("field"), detail.cast("string").alias("detail"))


def _message_problems(text: Column) -> list[tuple[Column, Column]]:
    """Problems of the message as a whole; the later ones only look at messages that passed the earlier."""
    empty = F.col("value").isNull() | (F.length("value") == 0)
    large = F.length("value") > MAX_MESSAGE_BYTES
    not_utf8 = ~F.is_valid_utf8(text)
    # Nearly always there is nothing around the braces; the pattern takes as long as all other checks together.
    braces = (text.startswith("{") & text.endswith("}")) | text.rlike(r"^\s*\{[\s\S]*\}\s*$")
    broken = F.col("_j").isNull() | F.col(f"_j.{_CORRUPT}").isNotNull() | ~braces
    return [
        (empty, _error("EMPTY_MESSAGE", "", F.lit("no value (a tombstone, or zero bytes)"))),
        (large, _error("TOO_LARGE", "", F.concat(F.length("value"), F.lit(f" bytes, limit {MAX_MESSAGE_BYTES}")))),
        (~empty & not_utf8, _error("NOT_UTF8", "", F.lit("the bytes are not valid UTF-8"))),
        (~empty & ~not_utf8 & broken, _error("NOT_JSON", "", F.lit("the message is not one JSON object"))),
        (
            F.col("card_masked"),
            _error("CARD_NUMBER", "", F.lit("a card number reached Kafka: tokenise it at the edge; it was masked")),
        ),
    ]


def _refusals(names: tuple[str, ...]) -> list[tuple[Column, Column]]:
    found = []
    for name in names:
        code = "LABEL_IN_TRANSACTION" if name in LEAKAGE_FIELDS else "FORBIDDEN_FIELD"
        why = "labels have a topic of their own" if name in LEAKAGE_FIELDS else "must never be sent"
        found.append((F.col(f"_j.{name}").isNotNull(), _error(code, name, F.lit(why))))
    return found


def _field_problem(judged: _Judged) -> tuple[Column, Column]:
    raw = F.col(f"_j.{judged.spec.name}")
    readable = F.col("_j").isNotNull() & F.col(f"_j.{_CORRUPT}").isNull()
    detail = F.left(raw, F.lit(64))
    if not judged.spec.required:
        return readable & raw.isNotNull() & judged.wrong, _error(judged.code, judged.spec.name, detail)
    missing = raw.isNull() | (raw == "")
    code = F.when(missing, F.lit("MISSING_FIELD")).otherwise(F.lit(judged.code))
    error = F.struct(code.alias("code"), F.lit(judged.spec.name).alias("field"), detail.alias("detail"))
    return readable & (missing | judged.wrong), error


def _time_problems(specs: tuple[FieldSpec, ...], limits: TimeLimits) -> list[tuple[Column, Column]]:
    field = next(s.name for s in specs if s.kind == "timestamp")
    time = F.col(field)
    ahead = time > F.col("kafka_timestamp") + F.expr(f"INTERVAL {limits.future_tolerance}")
    return [
        (ahead, _error("TIME_IN_FUTURE", field, time)),
        (time < F.lit(OLDEST_EVENT.isoformat()).cast("timestamp"), _error("TIME_TOO_OLD", field, time)),
    ]


def _is(text: Column, pattern: str) -> Column:
    """Whether the whole text matches: Java's `$` would let a line break follow."""
    return text.rlike(pattern.removesuffix("$") + r"\z")


def _judge(spec: FieldSpec, raw: Column) -> _Judged:
    """Typed value of a field, and when its text is wrong (null text is judged by the caller)."""
    if spec.kind == "enum":
        return _Judged(spec, raw, ~raw.isin(*spec.values), "UNKNOWN_VALUE")
    if spec.kind == "string":
        limit = spec.max_length or MAX_TEXT
        wrong = F.length(raw) > limit
        if spec.pattern:
            wrong = wrong | ~_is(raw, spec.pattern)
        nested = raw.startswith("{") | raw.startswith("[") | _is(raw, SCIENTIFIC)
        return _Judged(spec, raw, wrong | (raw == "") | nested, "BAD_TEXT")
    if spec.kind == "decimal":
        raw = _exact_number(spec.name, raw)
        return _Judged(spec, raw.try_cast(MONEY), ~_is(raw, AMOUNT), "BAD_AMOUNT")
    if spec.kind == "timestamp":
        value = F.when(_is(raw, EPOCH_MS), F.timestamp_millis(raw.try_cast("bigint"))).when(
            _is(raw, ISO_WITH_OFFSET), raw.try_cast("timestamp")
        )
        return _Judged(spec, value, value.isNull(), "BAD_TIME")
    if spec.kind == "boolean":
        return _Judged(spec, raw == "true", ~raw.isin("true", "false"), "BAD_BOOLEAN")
    number, pattern = ("int", INTEGER) if spec.kind == "integer" else ("double", NUMBER)
    value = raw.try_cast(number)
    wrong = ~_is(raw, pattern) | value.isNull()
    if spec.minimum is not None:
        wrong = wrong | (value < spec.minimum)
    if spec.maximum is not None:
        wrong = wrong | (value > spec.maximum)
    if spec.name == "schema_version":
        return _Judged(spec, value, wrong | (value > SCHEMA_VERSION), "UNSUPPORTED_VERSION")
    return _Judged(spec, value, wrong, "BAD_NUMBER")


def _exact_number(name: str, raw: Column) -> Column:
    """The number's own digits: from_json hands numbers over as doubles, which hold 15 digits."""
    digits = F.regexp_extract(F.col("value").cast("string"), rf'"{name}"\s*:\s*(-?[0-9]+(?:\.[0-9]+)?)[\s,}}]', 1)
    return F.when(raw.rlike("[eE]") | (F.length(raw) > 15), F.coalesce(F.nullif(digits, F.lit("")), raw)).otherwise(raw)

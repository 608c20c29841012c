"""What a query says about its batches, as rows of `fraud.stream_progress`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Progress:
    """One finished micro-batch of a query. `batch_ms` is wall time; `lag_rows` is None where unknown."""

    query: str
    batch_id: int
    at: datetime
    input_rows: int
    rows_per_second: float
    batch_ms: float
    lag_rows: int | None
    detail: dict[str, Any]


def from_json(document: dict[str, Any]) -> Progress:
    """A Spark progress document (`StreamingQueryProgress.json`) as `Progress`."""
    durations = document.get("durationMs", {})
    operators = document.get("stateOperators", [])
    return Progress(
        query=document["name"],
        batch_id=document["batchId"],
        at=at(document["timestamp"]),
        input_rows=document.get("numInputRows", 0),
        rows_per_second=float(document.get("processedRowsPerSecond") or 0.0),
        batch_ms=float(durations.get("triggerExecution", 0)),
        lag_rows=kafka_lag(document.get("sources", [])),
        detail={
            "durations_ms": durations,
            "state_rows": sum(o.get("numRowsTotal", 0) for o in operators),
            "state_bytes": sum(o.get("memoryUsedBytes", 0) for o in operators),
            "dropped_by_watermark": sum(o.get("numRowsDroppedByWatermark", 0) for o in operators),
            "duplicates": sum(o.get("customMetrics", {}).get("numDroppedDuplicateRows", 0) for o in operators),
            "watermark": document.get("eventTime", {}).get("watermark"),
            "read": delta_versions(document.get("sources", [])),
        },
    )


def at(text: str) -> datetime:
    """Spark's way to write a time, as such."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def kafka_lag(sources: list[dict[str, Any]]) -> int | None:
    """Rows in Kafka that the batch did not reach, over all partitions; None when no source is Kafka."""
    lags = []
    for source in sources:
        end, latest = _offsets(source.get("endOffset")), _offsets(source.get("latestOffset"))
        for topic, partitions in latest.items():
            lags += [newest - end.get(topic, {}).get(partition, 0) for partition, newest in partitions.items()]
    return sum(lags) if lags else None


def delta_versions(sources: list[dict[str, Any]]) -> dict[str, int]:
    """The version that the batch reached of each Delta table it reads, by the table's id."""
    ends = [_document(source.get("endOffset")) for source in sources]
    return {end["reservoirId"]: end["reservoirVersion"] for end in ends if "reservoirId" in end}


def _offsets(value: Any) -> dict[str, dict[str, int]]:
    """Kafka's {topic: {partition: offset}}; anything else (Delta's offsets) counts as none."""
    return {topic: parts for topic, parts in _document(value).items() if isinstance(parts, dict)}


def _document(value: Any) -> dict[str, Any]:
    document = orjson.loads(value) if isinstance(value, str) else value
    return document if isinstance(document, dict) else {}

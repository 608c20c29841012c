"""From a file and its mapping to events on disk, judged by the contract in several processes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fraud_domain.cards import TokenKey
from medallion_services.backtest.events import SCHEMA, record_batch
from medallion_services.backtest.pool import in_order
from medallion_services.errors import UserError
from medallion_services.mapping.judging import Judge, truth_of
from medallion_services.mapping.loading import Mapping
from medallion_services.mapping.opening import OpenFile, open_file
from medallion_services.mapping.reading import LINE
from medallion_services.mapping.refusal import Refusal, RejectedFile

_judge: Judge | None = None
TRUTH_SCHEMA = pa.schema([("transaction_id", pa.string()), ("fraud", pa.bool_()), ("fraud_type", pa.string())])


def _prepare(file_id: str, labels: Any, key: TokenKey | None) -> None:
    global _judge

    def token_key() -> TokenKey:
        if key is None:
            raise UserError("the mapping has a card_number, and there is no tokenisation key")
        return key

    _judge = Judge(file_id, labels, token_key)


def _judged(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[Refusal]]:
    if _judge is None:
        raise RuntimeError("not prepared")
    refused: list[Refusal] = []
    accepted = list(_judge.rows([batch], refused.append))
    return record_batch(accepted), refused


def ingest(
    path: Path, mapping: Mapping, target: Path, token_key: Callable[[], TokenKey], rejected: RejectedFile, workers: int
) -> int:
    """Write the accepted rows of a file to `target`, the others to `rejected`; returns the rows read.

    Raises:
        UserError: the file cannot be read, or the mapping does not fit it.
    """
    with open_file(path, mapping) as file, pq.ParquetWriter(target, SCHEMA, compression="lz4") as writer:
        key = token_key() if "card_number" in {*mapping.file.fields, *mapping.file.constants} else None
        arguments = (file.file_id, mapping.file.labels, key)
        for batch, refused in in_order(_judged, file.mapped(rejected.add), workers, _prepare, arguments):
            for refusal in refused:
                rejected.add(refusal)
            writer.write_batch(batch)
        return file.tally.read


def ingest_truth(path: Path, mapping: Mapping, target: Path) -> None:
    """Write the labels of a file of their own (`labels.file` of the mapping) to `target`.

    Raises:
        UserError: the file cannot be read, the expressions do not fit it, or a flag is neither true nor false.
    """
    labels = mapping.file.labels
    if labels is None or labels.file is None:
        raise UserError(f"{mapping.name} has no labels.file, so {path.name} cannot be read")
    fields = {"transaction_id": labels.file.transaction_id, "customer_id": f"CAST(({labels.file.where}) AS VARCHAR)"}
    fields |= {"status": labels.fraud, "decline_reason": labels.fraud_type or "NULL"}
    part = mapping.file.model_copy(
        update={"source": labels.file.source, "fields": fields, "constants": {}, "defaults": {}, "labels": None}
    )
    with (
        open_file(path, Mapping(mapping.name, part, mapping.source, mapping.digest)) as file,
        pq.ParquetWriter(target, TRUTH_SCHEMA, compression="lz4") as writer,
    ):
        for batch in _truth_batches(file):
            writer.write_batch(batch)


def _truth_batches(file: OpenFile) -> Iterator[pa.RecordBatch]:
    def damaged(refusal: Refusal) -> None:
        raise UserError(f"{file.path.name}:{refusal.line}: {refusal.code}")

    for batch in file.mapped(damaged):
        rows = [row for row in batch.to_pylist() if row["customer_id"] == "true" and row["status"] is not None]
        columns: list[list[Any]] = [[], [], []]
        for row in rows:
            fraud = truth_of(row["status"])
            if fraud is None:
                raise UserError(f"{file.path.name}:{row[LINE]}: '{row['status']}' is neither true nor false")
            for column, value in zip(columns, (row["transaction_id"], fraud, row["decline_reason"]), strict=True):
                column.append(value)
        arrays = [pa.array(values, kind) for values, kind in zip(columns, TRUTH_SCHEMA.types, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=TRUTH_SCHEMA)

"""Rows of a batch as the store keeps them: some hundred in one value, compressed.

A row of its own for each message took twice the CPU and six times the bytes, which are synced to disk, copied and
deleted (docs/adr/0015).
"""

from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec
import pyarrow as pa

Row = TypeVar("Row", bound=NamedTuple)
TOGETHER = 200
"""Rows of one value: as small as they get, and 200 MB when each is as large as Kafka lets it be."""
_CODEC = "zstd"
_LENGTH_BYTES = 8


class Packed(Generic[Row]):
    """Packs rows of one kind."""

    def __init__(self, kind: type[Row]) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(list[kind])  # type: ignore[valid-type]

    def values(self, rows: Sequence[Row]) -> Iterator[bytes]:
        """The rows, packed, in their order."""
        for start in range(0, len(rows), TOGETHER):
            plain = self._encoder.encode(rows[start : start + TOGETHER])
            yield len(plain).to_bytes(_LENGTH_BYTES) + pa.compress(plain, codec=_CODEC, asbytes=True)

    def rows(self, value: bytes) -> list[Row]:
        """The rows of one value.

        Raises:
            ValueError: it is not what `values` made.
        """
        length = int.from_bytes(value[:_LENGTH_BYTES])
        try:
            return self._decoder.decode(pa.decompress(value[_LENGTH_BYTES:], length, codec=_CODEC, asbytes=True))
        except (OSError, ValueError, OverflowError, MemoryError, msgspec.MsgspecError) as error:
            raise ValueError(f"a value cannot be unpacked: {error}") from error

"""One writer per stream: an advisory lock held for life, and an epoch that fences a writer who overslept.

The lock refuses a second driver at once. A driver that froze and lost its connection may wake up later: its
epoch is then older than the lease's, and the sink's transaction refuses it.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import psycopg

from fraud_domain.streams import lock_name

Parameters = dict[str, Any]
"""Keywords of `psycopg.connect`."""

_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"

_NOTICE_A_DEAD_CLIENT = "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
"""The server frees the locks of a driver whose machine or network went away within half a minute, not two hours."""


class StreamHeldError(RuntimeError):
    """Another driver runs this stream; the message names it."""


class FencedError(RuntimeError):
    """This driver's lease was taken over; it must write nothing more."""


class Lease:
    """Leases of one application's streams; `epochs[stream]` rises with every driver that takes it."""

    def __init__(self, parameters: Parameters, streams: Sequence[str], holder: str) -> None:
        self._parameters = parameters
        self._streams = tuple(streams)
        self._holder = holder
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self.epochs: dict[str, int] = {}

    def __enter__(self) -> Self:
        """Take all leases.

        Raises:
            StreamHeldError: another driver holds one of them.
        """
        self._lock_all()
        assert self._connection is not None  # noqa: S101 - set by _lock_all; narrows the type
        for stream in self._streams:
            row = self._connection.execute(
                "INSERT INTO fraud.stream_lease AS l (stream, epoch, holder) VALUES (%s, 1, %s)"
                " ON CONFLICT (stream) DO UPDATE SET epoch = l.epoch + 1, holder = EXCLUDED.holder,"
                " acquired_at = clock_timestamp() RETURNING epoch",
                (stream, self._holder),
            ).fetchone()
            self.epochs[stream] = int(row[0]) if row else 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()

    def _lock_all(self) -> None:
        self._connection = psycopg.connect(**self._parameters, autocommit=True, application_name=self._holder)
        self._connection.execute(_NOTICE_A_DEAD_CLIENT)
        for stream in self._streams:
            row = self._connection.execute(_LOCK, (lock_name(stream),)).fetchone()
            if not row or not row[0]:
                held = self._connection.execute(
                    "SELECT holder FROM fraud.stream_lease WHERE stream = %s", (stream,)
                ).fetchone()
                self._connection.close()
                holder = held[0] if held else "an unknown driver"
                raise StreamHeldError(
                    f"stream '{stream}' is already being written by {holder}; stop it first: two writers lose data"
                )

    def renew(self) -> None:
        """Check that the leases are still ours; after a database restart, take the locks again.

        Raises:
            FencedError: another driver took one over meanwhile.
            psycopg.OperationalError: the database cannot be reached; try again later.
        """
        if self._connection is None or self._connection.closed or self._connection.broken:
            try:
                self._lock_all()
            except StreamHeldError as held:
                raise FencedError(str(held)) from held
        assert self._connection is not None  # noqa: S101 - narrows the type
        for stream, epoch in self.epochs.items():
            check_epoch(self._connection, stream, epoch)


def check_epoch(connection: psycopg.Connection[tuple[Any, ...]], stream: str, epoch: int) -> None:
    """Refuse to go on when a younger driver has taken the stream; holds the lease row until commit.

    Raises:
        FencedError: the lease carries another epoch.
    """
    row = connection.execute("SELECT epoch, holder FROM fraud.stream_lease WHERE stream = %s FOR SHARE", (stream,))
    found = row.fetchone()
    if found is None or found[0] != epoch:
        taken = f"epoch {found[0]} by {found[1]}" if found else "nobody"
        raise FencedError(f"stream '{stream}': this driver holds epoch {epoch}, the lease is held with {taken}")

"""A TCP proxy between the drivers and PostgreSQL that can be told to misbehave."""

import asyncio
import contextlib
import socket
import threading
from dataclasses import dataclass, field

from medallion_services.embedded.ports import LOOPBACK

_CHUNK = 65_536


@dataclass(slots=True)
class Proxy:
    """Forwards one port to another: `delay` seconds for each piece, nothing at all while `frozen`."""

    target: int
    port: int = 0
    delay: float = 0.0
    frozen: bool = False
    forwarded: int = 0
    """Bytes so far, both ways."""
    reset: int = 0
    """Connections that were cut."""
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen on a free port of the loopback interface."""
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, LOOPBACK, 0), self._loop).result()
        self.port = server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Cut everything and end."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join()

    def cut(self) -> int:
        """Reset every connection, on both sides; returns how many there were."""

        async def abort() -> int:
            writers = list(self._writers)
            for writer in writers:
                writer.transport.abort()
            return len(writers) // 2

        count = asyncio.run_coroutine_threadsafe(abort(), self._loop).result()
        self.reset += count
        return count

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(LOOPBACK, self.target)
        except OSError:
            writer.transport.abort()
            return
        for each in (writer, inner_writer):
            each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._writers |= {writer, inner_writer}
        await asyncio.gather(self._pump(reader, inner_writer), self._pump(inner_reader, writer))
        self._writers -= {writer, inner_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, OSError):
            while piece := await reader.read(_CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                while self.frozen:
                    await asyncio.sleep(0.1)
                writer.write(piece)
                await writer.drain()
                self.forwarded += len(piece)
        writer.close()

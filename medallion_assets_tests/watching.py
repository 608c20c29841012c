"""A supervisor that watches its components on a thread, as its owner does, and how a test waits for what it sees."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from medallion_services.embedded.supervisor import Supervisor


@contextmanager
def watched(supervisor: Supervisor) -> Iterator[None]:
    """Components that were started are watched for the length of the block."""
    thread = threading.Thread(target=supervisor.watch)
    thread.start()
    try:
        yield
    finally:
        supervisor.stop_event.set()
        thread.join()
        supervisor.stop_event.clear()


def eventually(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)

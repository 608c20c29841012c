"""Work in several processes, in order and with few pieces under way, so that memory stays bounded."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_AHEAD = 2


def in_order(
    work: Callable[[T], R],
    items: Iterable[T],
    workers: int,
    prepare: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Iterator[R]:
    """`work(item)` for every item, results in the items' order.

    Args:
        workers: processes; 1 works in this one.
        prepare: called with `arguments` once in every process before its first item.
    """
    if workers == 1:
        if prepare:
            prepare(*arguments)
        yield from map(work, items)
        return
    # A fresh interpreter: a fork would copy the threads' locks of DuckDB and Arrow.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=prepare, initargs=arguments) as executor:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(executor.submit(work, item))
            if len(waiting) >= workers * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

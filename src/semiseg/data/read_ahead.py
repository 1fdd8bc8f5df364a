"""Files are read in threads, a few of them ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")
_THREADS = 2  # the network needs the cores more


def read_ahead(
    read: Callable[[_Item], _Value], items: Iterable[_Item], threads: int = _THREADS
) -> Iterator[_Value]:
    """Apply a function to items in threads, a few items ahead.

    Args:
        read: the function. It should spend its time outside of Python, as Pillow's decoders do.
        items: its arguments.
        threads: the number of threads; twice as many items are read ahead.

    Yields:
        The results in the order of the items.

    Example:
        >>> list(read_ahead(abs, [-1, 2, -3]))
        [1, 2, 3]
    """
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[_Value]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(read, item))
                if len(pending) > 2 * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

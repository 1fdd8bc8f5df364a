"""Which samples a step sees, as a function of the step alone; files read ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from semiseg.core.rng import Key
from semiseg.core.types import Sample

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")
_READERS = 2  # threads; the network needs the cores more
_AHEAD = 4  # items that are read before they are asked for


class Order:
    """An endless order of samples in which each pass over the list is a permutation of its own.

    The position is all that counts: the same position gives the same sample in every process,
    whatever was asked before. A list shorter than another is thereby oversampled, never truncated.

    Args:
        samples: the list, not empty.
        key: the key of the permutations.
    """

    def __init__(self, samples: Sequence[Sample], key: Key) -> None:
        self.samples = samples
        self.key = key
        self._passes: dict[int, list[int]] = {}

    def __getitem__(self, position: int) -> Sample:
        """The sample at a position, counted from 0 over all passes."""
        number, place = divmod(position, len(self.samples))
        if number not in self._passes:
            # A batch reaches into two passes at most: keep the last ones only.
            self._passes = {n: p for n, p in self._passes.items() if n >= number - 1}
            order = self.key.child(number).numpy().permutation(len(self.samples))
            self._passes[number] = order.tolist()
        return self.samples[self._passes[number][place]]


def ahead(read: Callable[[_Item], _Value], items: Iterable[_Item]) -> Iterator[_Value]:
    """What is read of each item, in order; threads read a few items ahead of who takes them.

    Args:
        read: spends its time outside of Python, as Pillow's decoders do.
        items: what to read.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        pending: deque[Future[_Value]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(read, item))
                if len(pending) > _AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

"""The order of a pool's images in a training, as a function of the position alone.

A pool of 10^8 images has no room for an array of its order, and reading single images from all over
an object store is slow. So each pass draws an order of the shards, cuts it into windows of a few
shards, and permutes the images inside each window. A Feistel network computes that permutation for
one position at a time, from the key alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.core.rng import Key

DEFAULT_WINDOW = 16
"""Shards whose images are mixed with each other: 2 GB of shards of 128 MB."""
_ROUNDS = 6  # four give a good mixture with such a strong round function; the rest is margin


class PoolOrder:
    """An endless order of a pool's images, in which each pass is another permutation.

    The same position gives the same image in every process, whatever was read before: with another
    number of loader processes, on another number of machines, and in a resumed training.

    Args:
        counts: the number of images in each shard; not all are 0.
        key: the key of the permutations.
        window: the number of shards whose images are mixed. More of them mix better, and must lie
            in the cache at the same time.

    Raises:
        ValueError: there are no images, or the window is not positive.

    Example:
        >>> order = PoolOrder([3, 2], Key.of(0, "pool"), window=2)
        >>> sorted(order[position] for position in range(5))
        [0, 1, 2, 3, 4]
    """

    def __init__(self, counts: Sequence[int] | NDArray[np.int64], key: Key, window: int) -> None:
        self._counts = np.asarray(counts, np.int64)
        self._first = np.concatenate([[0], np.cumsum(self._counts)])
        self._size = int(self._first[-1])
        if not self._size:
            raise ValueError("a pool without images has no order")
        if window < 1:
            raise ValueError(f"the window is {window} shards, not at least 1")
        self.key, self.window = key, window
        self._passes: dict[int, _Pass] = {}

    def __getitem__(self, position: int) -> int:
        """The index of the image at a position, counted from 0 over all passes."""
        number, place = divmod(position, self._size)
        order = self._passes.get(number)
        if order is None:
            # A batch reaches into two passes at most, so only the last ones stay.
            self._passes = {n: o for n, o in self._passes.items() if n >= number - 1}
            order = self._passes[number] = self._pass(number)
        start = int(order.ends.searchsorted(place, "right")) // self.window * self.window
        first = int(order.ends[start - 1]) if start else 0
        stop = min(start + self.window, len(order.ends))
        key = self.key.child(number, start)
        inside = first + permuted(place - first, int(order.ends[stop - 1]) - first, key)
        rank = int(order.ends.searchsorted(inside, "right"))
        before = int(order.ends[rank - 1]) if rank else 0
        return int(self._first[order.shards[rank]]) + inside - before

    def _pass(self, number: int) -> _Pass:
        shards = self.key.child(number, "shards").numpy().permutation(len(self._counts))
        return _Pass(shards, np.cumsum(self._counts[shards]))


class _Pass(NamedTuple):
    """One pass over the pool.

    Attributes:
        shards: the numbers of the shards in the order of this pass.
        ends: for each of them, the images in it and before it.
    """

    shards: NDArray[np.int64]
    ends: NDArray[np.int64]


def permuted(place: int, size: int, key: Key) -> int:
    """The image of one number under a keyed permutation; no array is built.

    An unbalanced Feistel network permutes the pairs of a rectangle that is little larger than
    `size` (J. Black, P. Rogaway: Ciphers with Arbitrary Finite Domains, 2002). Where it leads out
    of the domain, it is applied again ("cycle walking").

    Args:
        place: from 0 to `size - 1`.
        size: the size of the domain, at least 1.
        key: the key of the permutation.

    Returns:
        A number from 0 to `size - 1`; different for each `place`.

    Example:
        >>> [permuted(place, 6, Key.of(1)) for place in range(6)]
        [4, 1, 5, 3, 0, 2]
    """
    columns = math.isqrt(size - 1) + 1
    rows = -(-size // columns)
    secret = key.digest().to_bytes(16, "little")
    number = place
    while True:
        left, right = number % columns, number // columns
        for turn in range(0, _ROUNDS, 2):
            left = (left + _mixed(secret, turn, right)) % columns
            right = (right + _mixed(secret, turn + 1, left)) % rows
        number = right * columns + left
        if number < size:
            return number


def _mixed(secret: bytes, turn: int, number: int) -> int:
    """A number of 64 bits that looks random, from the key, the round and one half of the place."""
    message = number.to_bytes(8, "little") + turn.to_bytes(1, "little")
    digest = hashlib.blake2b(message, key=secret, digest_size=8).digest()
    return int.from_bytes(digest, "little")

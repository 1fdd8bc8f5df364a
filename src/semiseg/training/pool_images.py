"""The unlabeled images of a training with a pool, by their position: none is listed.

An image that cannot be decoded is noticed only when it is its turn, perhaps after days. Another
image of the same shard then takes its place. Which one, the position decides, so that the batches
do not depend on the number of processes, and a resumed training sees the same ones.
"""

from __future__ import annotations

import errno
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import DataError
from semiseg.core.rng import Key
from semiseg.core.text import printable
from semiseg.core.types import Sample
from semiseg.data.formats.image_opening import reason
from semiseg.data.pixel_cache import PixelCache
from semiseg.data.pools.pool import Pool, ShardError
from semiseg.data.pools.pool_order import DEFAULT_WINDOW, PoolOrder

_OF_MACHINE = (errno.EACCES, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC)
_MAX_ATTEMPTS = 20  # images of one shard that are tried for one place


class PoolError(DataError):
    """A shard of a pool cannot be read; the training can go on when it can be."""


class _UnreadableImageError(Exception):
    """An image of a pool cannot be decoded; the message names it and the reason."""


@dataclass(frozen=True)
class PoolImages:
    """The unlabeled images of a training with a pool.

    Attributes:
        files: those that lie in the data folder, such as images whose masks are hidden. They count
            as one more shard, before those of the pool.
        pool: the pool.
    """

    files: tuple[Sample, ...]
    pool: Pool

    def __len__(self) -> int:
        """The number of all images."""
        return len(self.files) + len(self.pool)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """`(1 + S,)` the files, and the images in each shard of the pool."""
        return np.concatenate([[len(self.files)], self.pool.counts]).astype(np.int64)


class DrawnImage(NamedTuple):
    """The image at a position.

    Attributes:
        name: what no other image has.
        pixels: `(H, W, N)`, see `PixelCache.image`.
        sample: the image, where it is a file of a data folder without a pool; else None.
        unreadable: which images of a pool it replaces, and why they cannot be read.
    """

    name: str
    pixels: NDArray[np.uint8]
    sample: Sample | None = None
    unreadable: tuple[str, ...] = ()


class PoolDraws:
    """An endless order of the images of a pool, decoded.

    Args:
        images: the images.
        key: the key of the order.
        decoded: decodes them.
        keep: whether to keep decoded images; it pays if the training sees them again.
    """

    def __init__(self, images: PoolImages, key: Key, decoded: PixelCache, keep: bool) -> None:
        self.images, self.key, self.decoded, self.keep = images, key, decoded, keep
        self._order = PoolOrder(images.counts, key, DEFAULT_WINDOW)
        self._ends = np.cumsum(images.counts)

    def __len__(self) -> int:
        """The number of images; the order has no end."""
        return len(self.images)

    def __getitem__(self, position: int) -> DrawnImage:
        """The image at a position, counted from 0 over all passes.

        Raises:
            PoolError: a shard cannot be read.
            DataError: a shard holds nothing but images that cannot be decoded.
        """
        index = self._order[position]
        unreadable: list[str] = []
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                pixels = self._pixels(index)
                return DrawnImage(self._name(index), pixels, unreadable=tuple(unreadable))
            except _UnreadableImageError as error:
                unreadable.append(str(error))
            index = self._other(index, self.key.child("instead", position, attempt))
        raise DataError(
            f"In {_MAX_ATTEMPTS} attempts, no image of a shard could be read. The last one was "
            f"{unreadable[-1]}.",
            "Pack the pool again without them.",
        )

    def where(self, position: int) -> str:
        """The file of the image at a position, or its member and its shard; for messages."""
        index = self._order[position]
        own = len(self.images.files)
        if index < own:
            return str(self.images.files[index].image)
        pool = self.images.pool
        return printable(f"{pool.file_name(index - own)} of {pool.address}")

    def _name(self, index: int) -> str:
        own = len(self.images.files)
        if index < own:
            return self.images.files[index].name
        return f"{self.images.pool.fingerprint} {index - own}"

    def _pixels(self, index: int) -> NDArray[np.uint8]:
        """Decode an image.

        Raises:
            _UnreadableImageError: it cannot be decoded.
            PoolError: its shard cannot be read.
        """
        own, pool = len(self.images.files), self.images.pool
        if index < own:
            return self.decoded.image(self.images.files[index].image)
        kept = self.decoded.stored(self._name(index)) if self.keep else None
        if kept is not None:
            return kept
        number = index - own
        try:
            content = pool.image(number)
        except DataError as error:
            # How to go on with a training is said with the message, where its folder is known.
            passes = isinstance(error, ShardError) and not error.is_damaged
            raise PoolError(error.message, "" if passes else error.remedy) from None
        try:
            with warnings.catch_warnings():  # of odd metadata, which nobody can correct here
                warnings.simplefilter("ignore")
                pixels = self.decoded.decode(content)
        except Exception as error:  # broken bytes may raise any error in a decoder
            cause = error.__cause__ or error
            if isinstance(cause, MemoryError) or getattr(cause, "errno", None) in _OF_MACHINE:
                raise cause from None  # the image may be whole
            why = reason(cause).removeprefix(f"{content.name} ")
            raise _UnreadableImageError(printable(f"{content.name} ({why})")) from None
        if self.keep:
            self.decoded.store(self._name(index), pixels)
        return pixels

    def _other(self, index: int, key: Key) -> int:
        """A keyed image of the same shard."""
        shard = int(np.searchsorted(self._ends, index, "right"))
        count = int(self.images.counts[shard])
        return int(self._ends[shard]) - count + int(key.numpy().integers(count))

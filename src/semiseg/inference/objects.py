"""Counts objects: areas of connected pixels of one class, in masks of any size.

The runs of equal pixels in a row are the nodes of a graph, and runs that touch are joined. So all
classes are counted at once, and a mask can come row by row: only its last row is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

_BLOCK = 1 << 20  # pixels that are joined together


class ObjectCounter:
    """Counts the objects of each class, part by part. Pixels that touch at a corner are connected.

    Args:
        classes: the number of classes.
        min_pixels: objects of fewer pixels do not count.
        state: what `state` of an earlier counter gave; None for a new one.

    Example:
        >>> counter = ObjectCounter(2)
        >>> counter.add(np.array([[1, 0, 0], [0, 1, 0]], np.uint8))
        >>> counter.add(np.array([[0, 0, 0], [1, 1, 255]], np.uint8))
        >>> counter.counts()
        (1, 2)
    """

    def __init__(
        self, classes: int, min_pixels: int = 1, state: Sequence[float] | None = None
    ) -> None:
        self._classes, self._min_pixels = classes, min_pixels
        self._closed = np.zeros(classes, np.int64)
        # The last row, the number of the object of each of its runs, and the pixels of each object.
        self._row = np.zeros(0, np.uint8)
        self._members = self._pixels = np.zeros(0, np.int64)
        if state is not None:
            width, runs, objects = (int(number) for number in state[:3])
            parts = np.array(state[3:], np.int64)
            stops = np.cumsum([width, runs, objects])
            row, self._members, self._pixels, self._closed = np.split(parts, stops)
            self._row = row.astype(np.uint8)

    def add(self, mask: NDArray[np.uint8]) -> None:
        """Add some rows.

        Args:
            mask: `(H, W)` class indices; other values, such as 255, belong to no object.
        """
        rows = max(1, _BLOCK // max(1, mask.shape[1]))
        for top in range(0, len(mask), rows):
            self._add(mask[top : top + rows])

    def counts(self) -> tuple[int, ...]:
        """The number of objects of each class in all rows."""
        kinds = np.zeros(len(self._pixels), np.uint8)
        if len(self._row):
            kinds[self._members] = self._row[np.flatnonzero(_run_starts(self._row[None]))]
        return tuple((self._closed + self._count(kinds, self._pixels)).tolist())

    def state(self) -> list[float]:
        """The numbers from which a counter goes on."""
        lengths = [len(self._row), len(self._members), len(self._pixels)]
        parts = (self._row, self._members, self._pixels, self._closed)
        return [*lengths, *(number for part in parts for number in part.tolist())]

    def _add(self, rows: NDArray[np.uint8]) -> None:
        """Join the runs of some rows with each other and with those of the row before."""
        has_before = len(self._row) > 0
        block = np.concatenate([self._row[None], rows]) if has_before else rows
        width = block.shape[1]
        starts = np.flatnonzero(_run_starts(block))
        kinds = block.reshape(-1)[starts]
        pixels = np.diff(starts, append=block.size)
        pairs = _touching(starts, kinds, width)
        if has_before:
            # An object of the row before is one run of it, to which its others are joined.
            members = len(self._members)
            firsts = np.zeros(len(self._pixels), np.int64)
            firsts[self._members[::-1]] = np.arange(members)[::-1]
            pairs = np.concatenate([pairs, [np.arange(members), firsts[self._members]]], axis=1)
            pixels[:members] = 0
            pixels[firsts] = self._pixels
        edges = np.ones(pairs.shape[1], np.uint8), (pairs[0], pairs[1])
        graph = coo_array(edges, shape=(len(starts), len(starts)))
        number, objects = connected_components(graph, directed=False)
        sizes = np.bincount(objects, weights=pixels, minlength=number).astype(np.int64)
        kind_of = np.zeros(number, np.uint8)
        kind_of[objects] = kinds
        last = objects[np.searchsorted(starts, block.size - width) :]
        still_open, self._members = np.unique(last, return_inverse=True)
        self._row, self._pixels = block[-1].copy(), sizes[still_open]
        is_closed = np.ones(number, np.bool_)
        is_closed[still_open] = False
        self._closed += self._count(kind_of[is_closed], sizes[is_closed])

    def _count(self, kinds: NDArray[np.uint8], pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of objects of each class among some that are large enough."""
        counted = kinds[pixels >= self._min_pixels]
        return np.bincount(counted, minlength=self._classes)[: self._classes]


def pixels_of(min_area: float | None, pixel_area: float | None) -> int:
    """The fewest pixels of an object that counts.

    Args:
        min_area: its area in square units of the map, or in pixels where there is no map; None
            counts all objects.
        pixel_area: the area of a pixel in square units of the map; None without a map.
    """
    pixels = (min_area or 0.0) / (pixel_area or 1.0)
    return max(1, math.ceil(pixels * (1 - 1e-9)))


def _run_starts(rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """`(H, W)`, True at the first pixel of each run of equal pixels in a row."""
    starts = np.ones(rows.shape, np.bool_)
    np.not_equal(rows[:, 1:], rows[:, :-1], out=starts[:, 1:])
    return starts


def _touching(starts: NDArray[np.int64], kinds: NDArray[np.uint8], width: int) -> NDArray[np.int64]:
    """`(2, N)`: the numbers of runs of one value that touch, the upper one first.

    Args:
        starts: `(R,)` the first pixels of all runs, counted row by row.
        kinds: `(R,)` their values.
        width: of the mask.
    """
    rows = starts // width
    upper = np.flatnonzero(rows < rows[-1])
    row_starts = rows[upper] * width
    left = np.maximum(starts[upper] - 1, row_starts) + width
    right = np.minimum(starts[upper + 1], row_starts + width - 1) + width
    first = np.searchsorted(starts, left, side="right") - 1
    counts = np.searchsorted(starts, right, side="right") - first
    above = np.repeat(upper, counts)
    offsets = np.arange(len(above)) - np.repeat(np.cumsum(counts) - counts, counts)
    below = np.repeat(first, counts) + offsets
    return np.stack([above, below])[:, kinds[above] == kinds[below]]

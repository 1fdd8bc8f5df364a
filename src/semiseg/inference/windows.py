"""Segments one image of any size at a fixed scale, in rows of windows.

Neither the scaled image nor the maps of the whole image are ever in memory: a row of windows is
blended with the one before, and the rows of pixels that no later window changes are handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semiseg.core.types import STRIDE, Prediction
from semiseg.inference.reading import (
    INDICATOR_TEMPERATURE,
    Arithmetic,
    Band,
    Floats,
    Maps,
    Results,
    interpolation,
)
from semiseg.inference.views import Window

_OVERLAP = 0.25  # of a window's side
_MAX_BAND = 1 << 22  # pixels of a band
_COLUMNS = 256  # pixels of a block that is enlarged at a time
_MAX_BLOCK = 1 << 20  # numbers in such a block

Places: TypeAlias = NDArray[np.float64]


class Seam(NamedTuple):
    """Where a segmentation in rows of windows stands: enough to go on from there, bit by bit.

    Attributes:
        number: of the next row of windows.
        done: rows of pixels that were handed on.
        before: the last complete row of each map, `(1, C, 1, w)`.
        pending: the rows of each map that the next windows change, too.
    """

    number: int
    done: int
    before: Sequence[Floats] = ()
    pending: Sequence[Floats] = ()


START = Seam(0, 0)
"""Nothing is done yet."""


class Grid(NamedTuple):
    """The windows of an image.

    Attributes:
        source: height and width of the scaled image.
        target: height and width of the image.
        window: side of a window in pixels of the scaled image.
        multiple: windows begin at multiples of this number of pixels.
    """

    source: tuple[int, int]
    target: tuple[int, int]
    window: int
    multiple: int


def segment_bands(
    forward: Callable[[Sequence[Window]], Iterable[Maps]],
    grid: Grid,
    arithmetic: Arithmetic,
    probabilities: bool = False,
    start: Seam = START,
    store: Callable[[Seam], None] | None = None,
) -> Iterator[Band]:
    """Segment an image band by band.

    Args:
        forward: gives the maps `(1, C, h, w)` of several windows.
        grid: the windows.
        arithmetic: the array library that enlarges the maps.
        probabilities: return the probabilities of all classes too.
        start: where an earlier call stopped.
        store: is called after each row of windows, when the caller has taken all of its bands.
    """
    rows, columns = (
        (np.arange(target) + 0.5) * (source / target) / STRIDE - 0.5
        for source, target in zip(grid.source, grid.target, strict=True)
    )
    total = -(-grid.source[0] // STRIDE)
    step = max(1, _MAX_BAND // grid.target[1])
    done = start.done
    for first, maps, seam in _slabs(forward, grid, start):
        end = first + maps.logits.shape[-2]
        # A row of pixels needs the cells before and after its center.
        ready = len(rows) if end == total else int(np.searchsorted(rows, end - 1))
        for top in range(done, ready, step):
            band = slice(top, min(top + step, ready))
            places = rows[band] - first, columns
            yield Band(band, _enlarge(maps, places, arithmetic, probabilities))
        done = max(done, ready)
        if store is not None:
            store(seam._replace(done=done))


def windows_along(length: int, window: int, multiple: int) -> list[tuple[slice, Floats]]:
    """The start and end of each window along an axis, and the weights of its cells.

    Weights rise linearly over the overlap and sum to 1 at each cell.
    """
    step = max(multiple, int(window * (1 - _OVERLAP)) // multiple * multiple)
    last = max(0, -(-(length - window) // multiple) * multiple)
    places = [slice(s, min(s + window, length)) for s in (*range(0, last, step), last)]
    margin = max(1, (window - step) // STRIDE)
    weights: list[Floats] = []
    total = np.zeros(-(-length // STRIDE), np.float32)
    for place in places:
        cells = cells_of(place)
        count = cells.stop - cells.start
        ramp = (np.arange(count) + 0.5) / margin
        before = ramp if place.start else np.ones(count)
        after = ramp[::-1] if place.stop < length else np.ones(count)
        weight = np.minimum(np.minimum(before, after), 1).astype(np.float32)
        total[cells] += weight
        weights.append(weight)
    return [(p, w / total[cells_of(p)]) for p, w in zip(places, weights, strict=True)]


def cells_of(pixels: slice) -> slice:
    """The cells of a map for a range of pixels that starts at a multiple of the stride."""
    return slice(pixels.start // STRIDE, -(-pixels.stop // STRIDE))


def _slabs(
    forward: Callable[[Sequence[Window]], Iterable[Maps]], grid: Grid, start: Seam
) -> Iterator[tuple[int, Maps, Seam]]:
    """The blended maps of the scaled image, some rows of cells at a time.

    Yields:
        The number of the first row, the maps, and what the next maps need. The maps begin with the
        last row of the maps before.
    """
    along, across = (windows_along(n, grid.window, grid.multiple) for n in grid.source)
    width = -(-grid.source[1] // STRIDE)
    pending, before = list(start.pending), list(start.before)
    starts = [rows.start // STRIDE for rows, _ in along]
    for number, (rows, up) in list(enumerate(along))[start.number :]:
        band: list[Floats] = []
        top = int(number > 0)  # the row of `before` comes first
        parts = forward([(rows, columns) for columns, _ in across])
        for part, (columns, weights) in zip(parts, across, strict=True):
            pieces = [m for m in part if m is not None]
            if not band:
                shapes = [(*m.shape[:2], top + m.shape[2], width) for m in pieces]
                band = [np.zeros(shape, np.float32) for shape in shapes]
            for whole, piece in zip(band, pieces, strict=True):
                whole[..., top:, cells_of(columns)] += piece * (up[:, None] * weights)
        for whole, row, rest in zip(band, before, pending, strict=number > 0):
            whole[..., :1, :] = row
            whole[..., 1 : 1 + rest.shape[-2], :] += rest
        first = starts[number] - top
        last = number + 1 == len(starts)
        count = band[0].shape[-2] if last else starts[number + 1] - first
        pending = [whole[..., count:, :].copy() for whole in band]
        before = [whole[..., count - 1 : count, :].copy() for whole in band]
        complete = [whole[..., :count, :] for whole in band]
        seam = Seam(number + 1, 0, before, pending)
        yield first, Maps(complete[0], complete[1] if len(complete) > 1 else None), seam


def _enlarge(
    maps: Maps, places: tuple[Places, Places], arithmetic: Arithmetic, probabilities: bool
) -> Prediction:
    """The prediction of pixels whose centers lie at these rows and columns of cells."""
    rows, columns = places
    scores = {"mask": (arithmetic.place(maps.logits[0]), np.float32(1))}
    if maps.similarity is not None:
        scale = np.float32(1 / INDICATOR_TEMPERATURE)
        scores["nearest"] = (arithmetic.place(maps.similarity[0]), scale)
    results = Results(maps, (len(rows), len(columns)), probabilities)
    height = max(1, _MAX_BLOCK // (maps.logits.shape[1] * _COLUMNS))
    up = [_Part.of(rows, part, maps.logits.shape[-2]) for part in _parts(len(rows), height)]
    across = [_Part.of(columns, part, maps.logits.shape[-1]) for part in _parts(len(columns))]
    for y in up:
        for x in across:
            right = arithmetic.place(np.ascontiguousarray(x.matrix.T))
            for space, (values, scale) in scores.items():
                left = arithmetic.place(y.matrix * scale)
                large = left @ values[:, y.cells, x.cells] @ right
                results.store(space, (y.pixels, x.pixels), large, arithmetic)
    return results.prediction()


class _Part(NamedTuple):
    """Some pixels along an axis, the cells that they need, and the matrix that enlarges these."""

    pixels: slice
    cells: slice
    matrix: Floats

    @classmethod
    def of(cls, places: Places, pixels: slice, cells: int) -> _Part:
        """The part for some of the places of an axis with so many cells."""
        inside = places[pixels].clip(0, cells - 1)
        first, last = int(inside[0]), min(int(inside[-1]) + 1, cells - 1)
        matrix = interpolation(inside - first, last + 1 - first)
        return cls(pixels, slice(first, last + 1), matrix)


def _parts(count: int, size: int = _COLUMNS) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]

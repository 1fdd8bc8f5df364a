"""The ground that a GeoTIFF, or a window of it, covers, as its header says it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.data.formats.geo_tags import (
    GEO_KEYS,
    PIXEL_SCALE,
    TIE_POINTS,
    TRANSFORMATION,
    numbers_in,
    read_map_tags,
    size_in,
)
from semiseg.data.formats.raster_windows import split_window


class Extent(NamedTuple):
    """The ground that an image covers.

    Attributes:
        left: the lowest x.
        bottom: the lowest y.
        right: the highest x.
        top: the highest y.
        pixel: the side of a pixel, in the same unit.
        system: what the header says about the coordinate reference system.
    """

    left: float
    bottom: float
    right: float
    top: float
    pixel: float
    system: tuple[int, ...]


class _Place(NamedTuple):
    """What a header says.

    Attributes:
        size: width and height in pixels.
        transform: from pixels to coordinates, see `formats.grid.Transform`.
        system: what the header says about the coordinate reference system.
    """

    size: tuple[int, int]
    transform: tuple[float, float, float, float, float, float]
    system: tuple[int, ...]


def extent_of(path: Path) -> Extent | None:
    """The extent of a GeoTIFF or a window of it; None for other files, and without coordinates.

    Args:
        path: the file, or a window as `window_path` gives it; no pixels are read.
    """
    return _extent(path, _read_place)


def _extent(path: Path, read_place: Callable[[Path], _Place | None]) -> Extent | None:
    file, window = split_window(path)
    place = read_place(file)
    if place is None:
        return None
    (width, height), (a, b, c, d, e, f), system = place
    left, top, right, bottom = (0, 0, width, height) if window is None else window.box
    pixels = ((left, top), (right, top), (right, bottom), (left, bottom))
    xs = [a * x + b * y + c for x, y in pixels]
    ys = [d * x + e * y + f for x, y in pixels]
    side = abs(a * e - b * d) ** 0.5
    return Extent(min(xs), min(ys), max(xs), max(ys), side, system)


def find_overlaps(
    ones: Sequence[Path], others: Sequence[Path], touching: bool = False
) -> dict[Path, list[Path]]:
    """The images that share ground with others, each with these.

    Args:
        ones: images.
        others: other images.
        touching: whether images count that lie side by side.
    """
    if not ones:
        return {}
    read_place = cache(_read_place)  # the windows of a raster have one header
    by_system: dict[tuple[int, ...], list[tuple[Path, Extent]]] = {}
    for path in others:
        extent = _extent(path, read_place)
        if extent is not None:
            by_system.setdefault(extent.system, []).append((path, extent))
    tables = {
        system: np.array([extent[:5] for _, extent in pairs]) for system, pairs in by_system.items()
    }
    overlaps: dict[Path, list[Path]] = {}
    for path in ones:
        extent = _extent(path, read_place)
        if extent is None or extent.system not in tables:
            continue
        places = np.flatnonzero(_shares_ground(extent, tables[extent.system], touching))
        pairs = by_system[extent.system]
        names = [pairs[i][0] for i in places if pairs[i][0] != path]
        if names:
            overlaps[path] = names
    return overlaps


def _shares_ground(one: Extent, others: NDArray[np.float64], touching: bool) -> NDArray[np.bool_]:
    """Which extents, as rows of a table, overlap by half a pixel, or touch up to half a pixel."""
    slack = 0.5 * np.minimum(one.pixel, others[:, 4]) * (-1 if touching else 1)
    width = np.minimum(one.right, others[:, 2]) - np.maximum(one.left, others[:, 0])
    height = np.minimum(one.top, others[:, 3]) - np.maximum(one.bottom, others[:, 1])
    return np.asarray((width > slack) & (height > slack))


def _read_place(file: Path) -> _Place | None:
    """What the header of a GeoTIFF says about its place; None without one."""
    tags = read_map_tags(file)
    size = size_in(tags)
    if size is None:
        return None
    scale, tie, matrix = (
        numbers_in(tags, tag) for tag in (PIXEL_SCALE, TIE_POINTS, TRANSFORMATION)
    )
    system = tuple(int(number) for number in numbers_in(tags, GEO_KEYS))
    if len(matrix) == 16:
        a, b, _, c, d, e, _, f, *_ = matrix
        return _Place(size, (a, b, c, d, e, f), system)
    if len(scale) < 2 or len(tie) < 6:
        return None
    x, y = tie[3] - tie[0] * scale[0], tie[4] + tie[1] * scale[1]
    return _Place(size, (scale[0], 0.0, x, 0.0, -scale[1], y), system)

"""Where the pixels of a raster lie on earth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semiseg.data.formats.bands import open_raster
from semiseg.data.formats.geo_tags import PIXEL_SCALE, TIFF_SUFFIXES, TRANSFORMATION, size_in
from semiseg.data.formats.raster_windows import RASTER_SUFFIXES, Window
from semiseg.data.formats.tiff import Tags, read_header

Transform: TypeAlias = tuple[float, float, float, float, float, float]
"""From the column and row of a pixel's corner to x and y: `x = a * column + b * row + c`, and
`y = d * column + e * row + f`."""
_BYTE_COUNTS = (279, 325)  # of strips or tiles
_MAX_RATIO = 20_000  # pixels for a byte of a file; DEFLATE reaches 1032 bytes for one
_IDENTITY: Transform = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_SAME = 0.5  # pixels by which the corners of two grids may differ


class RasterHeader(NamedTuple):
    """What the header of a raster says.

    Attributes:
        size: width and height in pixels.
        has_place: whether the file says where on earth its pixels lie.
    """

    size: tuple[int, int]
    has_place: bool


@dataclass(frozen=True)
class Grid:
    """The pixels of a raster and their place.

    Attributes:
        size: width and height in pixels.
        transform: from pixels to coordinates.
        crs: the coordinate reference system as text; empty without one.
    """

    size: tuple[int, int]
    transform: Transform
    crs: str

    @property
    def has_place(self) -> bool:
        """Whether the pixels have coordinates."""
        return self.transform != _IDENTITY

    def window(self, window: Window) -> Grid:
        """The grid of a part of the raster."""
        a, b, c, d, e, f = self.transform
        x = c + a * window.left + b * window.top
        y = f + d * window.left + e * window.top
        return Grid(window.size, (a, b, x, d, e, y), self.crs)

    @property
    def corners(self) -> NDArray[np.float64]:
        """`(4, 2)` x and y of the corners."""
        a, b, c, d, e, f = self.transform
        width, height = self.size
        pixels = ((0, 0), (width, 0), (width, height), (0, height))
        return np.array([(a * x + b * y + c, d * x + e * y + f) for x, y in pixels])

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """The lowest x and y, and the highest x and y."""
        (left, bottom), (right, top) = self.corners.min(axis=0), self.corners.max(axis=0)
        return float(left), float(bottom), float(right), float(top)

    @property
    def pixel(self) -> float:
        """The side of a pixel in the unit of the coordinates."""
        a, b, _, d, e, _ = self.transform
        return math.sqrt(abs(a * e - b * d))

    def covers_same(self, other: Grid) -> bool:
        """Whether another grid covers the same ground, apart from half a pixel."""
        if self.crs != other.crs:
            return False
        limit = _SAME * max(self.pixel, other.pixel)
        return bool(np.abs(self.corners - other.corners).max() <= limit)


def read_place(path: Path) -> RasterHeader | None:
    """What the header of a TIFF or a JPEG 2000 file says; None for stacks, other and broken files.

    Args:
        path: any file. Only a JPEG 2000 file needs the package rasterio.
    """
    suffix = path.suffix.lower()
    if suffix in TIFF_SUFFIXES:
        try:
            tags, is_stack = read_header(path)
        except OSError:  # reading it says why
            return None
        size = None if tags is None or is_stack else size_in(tags)
        if tags is None or size is None or not _may_hold(tags, size[0] * size[1]):
            return None
        has_place = PIXEL_SCALE in tags or TRANSFORMATION in tags
        return RasterHeader(size, has_place or path.with_suffix(".tfw").is_file())
    if suffix not in RASTER_SUFFIXES:
        return None
    try:
        grid = read_grid(path)
    except (OSError, ImportError):
        return None
    return RasterHeader(grid.size, grid.has_place)


def _may_hold(tags: Tags, pixels: int) -> bool:
    """Whether the strips or tiles of a file are large enough for so many pixels.

    A damaged header may claim any size. A sparse file leaves out the tiles that have no data.
    """
    counts = next((tags[tag] for tag in _BYTE_COUNTS if tag in tags), ())
    sizes = counts if isinstance(counts, tuple) else (counts,)
    if not all(isinstance(size, int) for size in sizes):
        return False
    total = sum(size for size in sizes if isinstance(size, int))
    return 0 in sizes or total * _MAX_RATIO >= pixels


def read_grid(path: Path) -> Grid:
    """The grid of a raster.

    Raises:
        OSError: the file cannot be read.
    """
    with open_raster(path) as file:
        a, b, c, d, e, f = file.transform[:6]
        crs = file.crs.to_wkt() if file.crs else ""
        return Grid((file.width, file.height), (a, b, c, d, e, f), crs)

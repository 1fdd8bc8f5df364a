"""Which rasters are read in tiles, and which tiles they have."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from semiseg.data.formats.bands import rasterio_window
from semiseg.data.formats.grid import RasterHeader
from semiseg.data.formats.raster_windows import Window

if TYPE_CHECKING:
    import rasterio

TILE = 512
"""The side of a tile in pixels, where nobody says another one."""
_MIN_TILES = 3  # along the short side of a raster that is read in tiles without being asked to
_MIN_LAST = 0.5  # of a tile; what is narrower at the end belongs to the tile before
_SAMPLED_SIDE = 64  # pixels of a tile, along its side, that show whether it has data


def is_tiled(header: RasterHeader, tile: int | None) -> bool:
    """Whether a raster is read in tiles.

    Without a word from the user, it is if it is a map (it has a place on earth) of at least three
    tiles along its short side. So photographs and folders of small tiles stay what they are.

    Args:
        header: of the raster.
        tile: the side of a tile that the user asks for, 0 for none; None without a word.
    """
    width, height = header.size
    if tile is not None:
        return tile > 0 and min(width, height) > 0 and len(windows_of(header.size, tile)) > 1
    return header.has_place and min(width, height) >= _MIN_TILES * TILE


def windows_of(size: tuple[int, int], tile: int) -> list[Window]:
    """The tiles of a raster, row by row; they cover it without overlap.

    Args:
        size: width and height of the raster in pixels.
        tile: the side of a tile. The last tile of a row or column may be narrower, down to a half,
            or wider by less than a half.

    Example:
        >>> windows_of((5, 2), 2)[-1], len(windows_of((300, 300), 128))
        (Window(left=4, top=0, width=1, height=2), 4)
    """
    columns, rows = (_parts(side, tile) for side in size)
    return [Window(x, y, w, h) for y, h in rows for x, w in columns]


def _parts(side: int, tile: int) -> list[tuple[int, int]]:
    """The first pixel and the length of each tile along a side."""
    count = max(1, side // tile + (side % tile >= _MIN_LAST * tile and side > tile))
    starts = [i * tile for i in range(count)]
    return [(start, end - start) for start, end in zip(starts, [*starts[1:], side], strict=True)]


def has_data(file: rasterio.DatasetReader, window: Window, nodata: Collection[float] = ()) -> bool:
    """Whether a tile has any data, by a sample of its pixels from the overviews if there are some.

    Args:
        file: the open raster.
        window: the tile.
        nodata: values that mark pixels without data, besides those that the file names.
    """
    step = max(1, max(window.size) // _SAMPLED_SIDE)
    shape = (-(-window.height // step), -(-window.width // step))
    part = rasterio_window(window)
    for band in file.indexes:
        if file.colorinterp[band - 1].name == "alpha":
            continue
        valid = file.read_masks(band, window=part, out_shape=shape) > 0
        is_float = np.dtype(file.dtypes[band - 1]).kind == "f"
        if valid.any() and (nodata or is_float):
            values = file.read(band, window=part, out_shape=shape)
            valid &= ~np.isin(values, list(nodata))
            if is_float:
                valid &= np.isfinite(values)
        if valid.any():
            return True
    return False

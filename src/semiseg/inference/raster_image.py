"""Rasters that are read in windows, so that the memory does not depend on their size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import DataError
from semiseg.core.reading import Reading
from semiseg.data.formats.band_image import AnyImage
from semiseg.data.formats.bands import open_raster
from semiseg.data.formats.decoded import picture_of
from semiseg.data.formats.images import read_image, read_valid
from semiseg.data.formats.raster_windows import Window, window_path
from semiseg.inference.large import LargeImage, read_large

if TYPE_CHECKING:
    import rasterio

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""
_CHUNK = 1 << 23  # numbers of a part that is read at a time


class RasterImage:
    """A raster of which only parts are in memory.

    A part that is asked for is read with its neighbors to the right, since the next parts lie
    there, and many rasters are stored in whole rows.

    Args:
        path: the file.
        reading: how it is read.
        size: width and height in pixels.

    Attributes:
        size: width and height in pixels.
    """

    def __init__(self, path: Path, reading: Reading, size: tuple[int, int]) -> None:
        self._path, self._reading, self.size = path, reading, size
        self._chunk: tuple[Box, AnyImage] | None = None

    def crop(self, box: Box) -> AnyImage:
        """The part between left, top, right and bottom.

        Raises:
            DataError: the file cannot be read.
        """
        if self._chunk is None or not _holds(self._chunk[0], box):
            left, top, right, bottom = box
            columns = _CHUNK // ((bottom - top) * self._reading.channels)
            wide = left, top, min(self.size[0], max(right, left + columns)), bottom
            self._chunk = None  # before the next one is read
            self._chunk = wide, self._read(wide)
        (left, top, *_), chunk = self._chunk
        return chunk.crop((box[0] - left, box[1] - top, box[2] - left, box[3] - top))

    def whole(self) -> AnyImage:
        """The whole image."""
        return self._read((0, 0, *self.size))

    def reduced(self, step: int) -> AnyImage:
        """The mean of each square of pixels, at a fraction of the size that is rounded up."""
        width, height = self.size
        rows = max(1, _CHUNK // (width * self._reading.channels * step)) * step
        parts = []
        for top in range(0, height, rows):
            part = self._read((0, top, width, min(top + rows, height)))
            parts.append(np.asarray(part.reduce(step)))
        return picture_of(np.concatenate(parts), self._reading)

    def _read(self, box: Box) -> AnyImage:
        return read_image(window_path(self._path, _window(box)), self._reading)


def raster_image(path: Path, reading: Reading, size: tuple[int, int]) -> RasterImage | LargeImage:
    """A raster, in windows unless its values are numbers of a palette.

    Args:
        path: a GeoTIFF.
        reading: how it is read.
        size: width and height in pixels.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with open_raster(path) as file:
            has_palette = file.colorinterp[0].name == "palette" and reading.bands is None
    except OSError as error:
        raise unreadable(path, error) from error
    if not has_palette:
        return RasterImage(path, reading, size)
    return read_large(path, reading)


def find_empty(path: Path, reading: Reading, rows: slice, width: int) -> NDArray[np.bool_] | None:
    """Find the pixels of a raster without data.

    Args:
        path: a GeoTIFF.
        reading: how it is read.
        rows: of the raster.
        width: of the raster in pixels.

    Returns:
        `(H, W)`, True where all bands that are read have no data, or where the file's own mask or
        transparency says so. None if there are data everywhere.

    Raises:
        DataError: the file cannot be read.
    """
    empty = np.zeros((rows.stop - rows.start, width), bool)
    try:
        with open_raster(path) as file:
            if _has_mask(file, reading):
                empty |= file.dataset_mask(window=((rows.start, rows.stop), (0, width))) == 0
            has_floats = any(np.dtype(kind).kind == "f" for kind in file.dtypes)
            has_nodata = any(value is not None for value in file.nodatavals)
    except OSError as error:
        raise unreadable(path, error) from error
    if has_floats or has_nodata or reading.nodata:
        columns = max(1, _CHUNK // (len(empty) * reading.channels))
        for left in range(0, width, columns):
            window = Window(left, rows.start, min(columns, width - left), len(empty))
            valid = read_valid(window_path(path, window), reading)
            if valid is not None:
                empty[:, left : left + columns] |= ~valid
    return empty if empty.any() else None


def _has_mask(file: rasterio.DatasetReader, reading: Reading) -> bool:
    """Whether the file has a mask, or transparency that is no band of the image."""
    from rasterio.enums import MaskFlags

    if reading.nodata == ():
        return False
    flags = {flag for flags in file.mask_flag_enums for flag in flags}
    kinds = [kind.name for kind in file.colorinterp]
    is_band = any(kinds[band - 1 : band] == ["alpha"] for band in reading.bands or ())
    return MaskFlags.per_dataset in flags and not (MaskFlags.alpha in flags and is_band)


def unreadable(path: Path, error: OSError) -> DataError:
    """The error of a raster that GDAL cannot read."""
    return DataError(f"{path} cannot be read ({error}). Replace the file or remove it.")


def _holds(outer: Box, inner: Box) -> bool:
    return (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and outer[2] >= inner[2]
        and outer[3] >= inner[3]
    )


def _window(box: Box) -> Window:
    left, top, right, bottom = box
    return Window(left, top, right - left, bottom - top)

"""TIFF and JPEG 2000 files that Pillow cannot read, through the extra `geo` (rasterio)."""

from __future__ import annotations

import os
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from semiseg.core.errors import DataError
from semiseg.data.formats.raster_windows import Window
from semiseg.data.formats.rasters import Depth, Raster, Values
from semiseg.data.formats.volumes import check_bands

if TYPE_CHECKING:
    import rasterio
    import rasterio.windows

INSTALL_GEO = "pip install 'semiseg[geo]'"
_TIFF, _JPEG_2000 = "GTiff", "JP2OpenJPEG"  # GDAL's other formats may read further files
_SIDECARS = (".ovr", ".msk")  # GDAL opens them with any driver
_OPTIONS = {
    # No network: an overview may lie anywhere, as the metadata of a TIFF say.
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",
    "GDAL_HTTP_PROXY": "http://127.0.0.1:9",
    "GDAL_HTTP_MAX_RETRY": "0",
    # Bytes of blocks that GDAL keeps of all open files, instead of a twentieth of the memory.
    "GDAL_CACHEMAX": 64 << 20,
}
JPEG_2000_CODESTREAM = b"\xff\x4f\xff\x51"
JPEG_2000_HEADER_BYTES = 1 << 16
_VARIES = 255  # the channels have different numbers of bits


def can_read_bands() -> bool:
    """Whether the package that reads bands is installed."""
    return find_spec("rasterio") is not None


def raster_of_bands(
    path: Path, bands: tuple[int, ...] | None, window: Window | None = None
) -> Raster:
    """The bands of a file as an image.

    Args:
        path: the file.
        bands: the numbers of the bands, from 1 on; None for the only band or the only three bands.
        window: the part that is read; None for all of it.

    Raises:
        DataError: the package is missing, or the file cannot be read or has no such band.
    """
    if not can_read_bands():
        raise DataError(f"{path} holds bands that need an extra: {INSTALL_GEO}.")
    table: NDArray[np.uint8] | None = None
    opened = open_raster if window is None else _kept_open
    with opened(path) as file:
        count = file.count
        if bands is None:
            table = _gray_or_colors(file)
            bands = _default_bands(count, file.colorinterp[-1].name == "alpha")
        if bands is None:
            raise DataError(f"{path} {choice_of_bands('an image', count)}")
        check_bands(path, bands, count)
        nodata = {float(v) for v in file.nodatavals if v is not None and np.isfinite(v)}
        types = {np.dtype(file.dtypes[band - 1]) for band in bands}
        size, selection = (file.width, file.height), bands
        if window is not None:
            if window.box[2] > size[0] or window.box[3] > size[1]:
                raise DataError(f"{path} has {size[0]} x {size[1]} pixels, not {window.box}.")
            size = window.size
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and size[0] * size[1] > 2 * limit:
        raise Image.DecompressionBombError(f"it has {size[0]} x {size[1]} pixels")
    if any(kind.kind not in "uif" for kind in types):
        raise DataError(f"{path} holds {types.pop()} numbers, which are no image.")
    depths: dict[int, Depth] = {1: "deep gray", 3: "deep color"}
    depth = depths.get(len(selection), "deep bands")
    if types == {np.dtype(np.uint8)}:
        depth = "8 bits"

    def load() -> Values:
        with opened(path) as file:
            part = None if window is None else rasterio_window(window)
            values = file.read(list(selection), window=part)
        if table is not None:
            values = table[values]
        return values[0] if len(selection) == 1 else np.moveaxis(values, 0, 2)

    return Raster(size, depth, load, tuple(sorted(nodata)))


def _gray_or_colors(file: rasterio.DatasetReader) -> NDArray[np.uint8] | None:
    """The gray `(256,)` or the color `(256, 3)` of each value in a file of one band of 8 bits.

    Pillow converts such files by itself. A window has to look as the whole file does.

    Returns:
        None if the values are gray already.
    """
    if file.count != 1 or file.dtypes[0] != "uint8":
        return None
    if file.colorinterp[0].name == "palette":
        colors = np.zeros((256, 3), np.uint8)
        for value, color in file.colormap(1).items():
            colors[value] = color[:3]
        return colors
    bits = int(file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8))
    is_inverted = file.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
    if bits == 8 and not is_inverted:
        return None
    highest = 2**bits - 1
    levels: NDArray[np.uint8] = (np.arange(256).clip(0, highest) * 255 // highest).astype(np.uint8)
    return 255 - levels if is_inverted else levels


def rasterio_window(window: Window) -> rasterio.windows.Window:
    """A window as rasterio takes it."""
    from rasterio.windows import Window as RasterioWindow

    return RasterioWindow(*window)


def choice_of_bands(kind: str, count: int) -> str:
    """Say that bands have to be chosen: the end of a sentence that begins with the path."""
    example = "--bands 3,2,1" if count > 2 else "--bands 1"
    return (
        f"is {kind} with {count} channels (bands), and semiseg does not know which ones form the "
        f"image. Choose three bands as red, green and blue, or one, such as {example} (this needs "
        f"{INSTALL_GEO})."
    )


def _default_bands(count: int, has_alpha: bool) -> tuple[int, ...] | None:
    """The bands of a file that form the image without a choice; None if there are none."""
    colors = count - has_alpha
    return tuple(range(1, colors + 1)) if colors in (1, 3) else None


def has_deep_colors(path: Path) -> bool:
    """Whether a JPEG 2000 file has colors of more than 8 bits, which Pillow would shorten."""
    with path.open("rb") as file:
        start = file.read(JPEG_2000_HEADER_BYTES)
    if start.startswith(JPEG_2000_CODESTREAM):
        count, bits = struct.unpack_from(">HB", start, len(JPEG_2000_CODESTREAM) + 36)
    else:
        place = start.find(b"ihdr")
        if place < 0:
            return False
        count, bits = struct.unpack_from(">HB", start, place + 12)
    return bool(count >= 3 and bits != _VARIES and (bits & 0x7F) + 1 > 8)


@contextmanager
def open_raster(path: Path) -> Iterator[rasterio.DatasetReader]:
    """Open a TIFF or a JPEG 2000 file with rasterio, for the process that opens it.

    No other driver of GDAL reads it, and what it refers to is not fetched from a network.

    Args:
        path: the file.

    Yields:
        The open file; only this process may use it.

    Raises:
        OSError: GDAL cannot read it, or a file beside it that GDAL would open is no TIFF.
    """
    with gdal_options(), _open(path) as file:
        yield file


def gdal_options() -> rasterio.Env:
    """The settings of GDAL wherever files are open: no network, and little memory for blocks."""
    import rasterio

    return rasterio.Env(**_OPTIONS)


def _open(path: Path) -> rasterio.DatasetReader:
    import rasterio
    from rasterio.errors import RasterioError

    driver = _TIFF if _is_tiff(path) else _JPEG_2000
    for suffix in _SIDECARS:
        sidecar = path.with_name(path.name + suffix)
        if sidecar.is_file() and not _is_tiff(sidecar):
            raise OSError(f"{sidecar.name} beside it is no TIFF: remove that file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that an image has no place on the map
        try:
            return rasterio.open(path.absolute(), driver=driver)
        except RasterioError as error:
            raise OSError(str(error)) from error


class _LastRaster(threading.local):
    """The raster from which a thread read its last window.

    Attributes:
        state: the process, and the path, the size and the modification time of the file.
        file: the open file; None before the first one.
    """

    state: tuple[object, ...] = (None,)
    file: rasterio.DatasetReader | None = None


_last = _LastRaster()
_inherited: list[rasterio.DatasetReader] = []  # opened by a parent process, and never touched


@contextmanager
def _kept_open(path: Path) -> Iterator[rasterio.DatasetReader]:
    """A raster that stays open for the next window that the same thread reads of it.

    Many rasters are compressed in rows, each of which belongs to all tiles side by side. While the
    file is open, GDAL keeps the rows in memory.
    """
    status = path.stat()
    state = (os.getpid(), path.absolute(), status.st_size, status.st_mtime_ns)
    with gdal_options():
        if _last.state != state:
            if _last.file is not None and _last.state[0] == os.getpid():
                _last.file.close()
            elif _last.file is not None:
                _inherited.append(_last.file)
            _last.state, _last.file = (None,), None
            _last.state, _last.file = state, _open(path)
        yield _last.file


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) in TiffImagePlugin.PREFIXES

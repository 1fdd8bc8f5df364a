"""How many bands an image file has, of which type, and what they are called."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from semiseg.core.errors import DataError
from semiseg.data.formats.bands import (
    INSTALL_GEO,
    JPEG_2000_CODESTREAM,
    JPEG_2000_HEADER_BYTES,
    can_read_bands,
    open_raster,
)
from semiseg.data.formats.image_formats import format_of
from semiseg.data.formats.rasters import Values, varies_like_band
from semiseg.data.formats.stacks import is_stack_of_bands, stack_header
from semiseg.data.formats.tiff import ALPHA_KINDS, Tags, channels_of, read_header

_SAMPLED_SIDE = 1024  # pixels of the middle of an image, which show whether a channel is a band
_COLORS = ("red", "green", "blue")
_NAMELESS = ("gray", "undefined", "alpha", "palette")  # of GDAL's kinds of bands


class BandCount(NamedTuple):
    """The channels of an image file.

    Attributes:
        bands: their number, without one that the file calls transparency.
        has_alpha: whether there is one more, the last one, that the file calls transparency.
    """

    bands: int
    has_alpha: bool = False

    @property
    def is_image(self) -> bool:
        """Whether the bands form an image by themselves: gray or RGB."""
        return self.bands in (1, 3)


class BandHeader(NamedTuple):
    """What an image file says about its bands.

    Attributes:
        names: of all bands, empty where a band has none; none of a file that names no band.
        types: of the numbers in each band, such as `uint16`; none where they are not known.
        rgb: the numbers, from 1 on, of the bands that the file calls red, green and blue, or None.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    rgb: tuple[int, int, int] | None


def count_bands(file: Path, axes: str | None = None) -> BandCount | None:
    """Count the channels of a TIFF, JPEG 2000 or NIfTI file by its header alone.

    Args:
        file: the file.
        axes: the axes of a stack, as the user names them.

    Returns:
        None for a file of another format, for CMYK, and for a file that cannot be read.
    """
    form = format_of(file)
    try:
        if form is not None and form.name == "TIFF":
            tags, has_several_pages = read_header(file)
            if not has_several_pages:
                return None if tags is None else _count_in(tags)
        if is_stack_of_bands(file, axes):
            header = stack_header(file, axes)
            return None if header is None else BandCount(len(header.types))
        if form is not None and form.name == "JPEG 2000":
            return _count_of_jpeg(file)
    except (OSError, TypeError, struct.error, DataError):
        return None
    return None


def _count_in(tags: Tags) -> BandCount | None:
    """The channels of a TIFF of one page.

    Raises:
        TypeError: a tag is not a number.
    """
    channels = channels_of(tags)
    if channels is None:
        return None
    count, extra = channels
    is_last = bool(extra) and extra[-1] in ALPHA_KINDS and count > 1
    return BandCount(count - is_last, is_last)


def _count_of_jpeg(file: Path) -> BandCount | None:
    """The channels of a JPEG 2000 file; the last one of two or four may be transparency.

    Raises:
        struct.error: the file is truncated.
    """
    with file.open("rb") as stream:
        start = stream.read(JPEG_2000_HEADER_BYTES)
    if start.startswith(JPEG_2000_CODESTREAM):
        (count,) = struct.unpack_from(">H", start, len(JPEG_2000_CODESTREAM) + 36)
    else:
        place = start.find(b"ihdr")
        if place < 0 or b"pclr" in start:  # of a palette, the colors are the channels
            return None
        (count,) = struct.unpack_from(">H", start, place + 12)
    is_last = count in (2, 4)  # GDAL does not say what a channel is
    return BandCount(count - is_last, is_last) if count else None


def read_band_header(file: Path, axes: str | None = None) -> BandHeader:
    """Read the names, types and colors of the bands, of a stack through the extra `medical`.

    Args:
        file: the file.
        axes: the axes of a stack, as the user names them.

    Raises:
        DataError: the file needs the extra `geo`.
        OSError: the file cannot be read, or the extra `medical` is missing.
    """
    if is_stack_of_bands(file, axes):
        header = stack_header(file, axes)
        if header is None:
            raise OSError("the stack cannot be read")
        rgb = _find_colors([name.casefold() for name in header.names])
        return BandHeader(header.names, header.types, rgb)
    if not can_read_bands():
        raise DataError(f"{file} holds bands that need an extra: {INSTALL_GEO}.")
    with open_raster(file) as source:
        kinds = [kind.name for kind in source.colorinterp]
        names = tuple(
            (text or "").strip() or ("" if kind in _NAMELESS else kind.replace("_", " "))
            for text, kind in zip(source.descriptions, kinds, strict=True)
        )
        rgb = _find_colors(kinds) or _find_colors([name.casefold() for name in names])
        return BandHeader(names, tuple(source.dtypes), rgb)


def _find_colors(names: Sequence[str]) -> tuple[int, int, int] | None:
    """The numbers of the bands called red, green and blue; None unless each is there once."""
    if any(names.count(color) != 1 for color in _COLORS):
        return None
    red, green, blue = (names.index(color) + 1 for color in _COLORS)
    return red, green, blue


def is_last_channel_band(file: Path) -> bool | None:
    """Whether a channel that a file calls transparency varies like a band, such as infrared.

    The middle of the image is decoded.

    Returns:
        None if the channel has one value, so that it may be both.

    Raises:
        OSError: GDAL cannot read the file.
    """
    from rasterio.windows import Window

    with open_raster(file) as source:
        width, height = (min(side, _SAMPLED_SIDE) for side in (source.width, source.height))
        place = (source.width - width) // 2, (source.height - height) // 2
        values: Values = source.read(source.count, window=Window(*place, width, height))
    low, high = values.min(), values.max()
    if low == high:
        return None
    between = values[(values > low) & (values < high)]
    return varies_like_band(len(np.unique(between)), between.size, values.size)

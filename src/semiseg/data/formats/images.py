"""Image files: reads them, decodes them to their ends, and reads their sizes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from semiseg.core.errors import ConfigError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.data.formats.band_image import AnyImage
from semiseg.data.formats.decoded import Decoded, Header, nodata_of, picture_of, remarks_on
from semiseg.data.formats.image_bytes import ImageSource, path_of
from semiseg.data.formats.image_opening import open_pixels, orientation_in_header
from semiseg.data.formats.raster_windows import file_of
from semiseg.data.formats.rasters import (
    SIDEWAYS,
    Raster,
    orientation_of,
)
from semiseg.data.formats.tiff import (
    gdal_nodata,
)

_MAY_LACK_DATA = (".tif", ".tiff", ".png", ".pgm", ".pnm", ".ppm", ".jp2", ".j2k", ".dcm", ".nii")


def read_image(
    path: ImageSource, reading: Reading = AS_STORED, enough: int | None = None
) -> AnyImage:
    """Read an image in RGB, upright according to its EXIF data; or in the bands of the reading.

    The function reads gray, RGB, palette and CMYK images, drops transparency, and takes the first
    frame of an animation. Of a TIFF with several pages of the same size, it reads the channels as
    bands, and refuses times and depths; it ignores smaller pages, such as the overviews of a map.
    It also refuses a TIFF with other channels: the user has to choose those that form the image.

    Args:
        path: the image's file, a window of a raster, or the content of a file.
        reading: how the file is read. Its value range applies to gray images of 16 or 32 bits and
            of floating-point numbers. Values outside are clipped, NaN becomes black. Without a
            range, 16 bits are scaled by the range of their type. Images of 8 bits do not change.
        enough: a short side in pixels that suffices. A JPEG may then come at a half, a quarter or
            an eighth of its size, but not smaller than this. That is several times faster.

    Returns:
        The image in mode RGB, or of as many channels as the reading says. Deep images have black
        pixels where they have no data.

    Raises:
        DataError: the file cannot be decoded, is truncated, or is an image that is refused.
        ConfigError: the value range is empty.
    """
    value_range = reading.value_range
    if value_range is not None and not value_range[0] < value_range[1]:
        raise ConfigError(
            f"The value range {value_range[0]:g} to {value_range[1]:g} is empty. Give the value of "
            "black first, then a higher value for white."
        )
    return decode_image(path, reading, enough).picture(reading, path)


def decode_image(
    path: ImageSource, reading: Reading = AS_STORED, enough: int | None = None, remark: bool = False
) -> Decoded:
    """Decode an image to its end; deep images keep their values.

    Args:
        path: the image's file, or its content.
        reading: how the file is read; only the bands matter.
        enough: as for `read_image`.
        remark: whether to look for what a person should know about the file.

    Raises:
        DataError: the file cannot be decoded, is truncated, or is an image that is refused.
    """
    with open_pixels(path, reading, verify=True) as source:
        if isinstance(source, Raster):
            values, own, turn = source.load(), source.nodata, source.orientation
            if values.dtype == np.uint8:
                image = picture_of(values, reading)
                return Decoded("8 bits", image, nodata=own, axes=source.axes)
            return Decoded(source.depth, None, values, own, source.window, (), turn, source.axes)
        if enough is not None:
            factor = enough / min(source.size)
            size = math.ceil(source.width * factor), math.ceil(source.height * factor)
            source.draft(None, size)
        own = gdal_nodata(source.tag_v2) if isinstance(source, TiffImageFile) else ()
        orientation = orientation_of(source)
        remarks = remarks_on(source) if remark else ()
        image = ImageOps.exif_transpose(source).convert("RGB")
        return Decoded("8 bits", image, None, own, None, remarks, orientation)


def has_raster(path: ImageSource, reading: Reading = AS_STORED) -> bool:
    """Whether an image is read as an array of values, as those of more than 8 bits are.

    Its pixels are not decoded.

    Raises:
        DataError: the header cannot be read, or `read_image` would refuse the image.
    """
    with open_pixels(path, reading) as source:
        return isinstance(source, Raster)


def decode_large(path: ImageSource, reading: Reading = AS_STORED) -> Decoded:
    """Decode an image as `decode_image` does, but make no copy of its pixels.

    Args:
        path: the image's file, or its content.
        reading: how the file is read; only the bands matter.

    Returns:
        The image, whose mode may be any of 8 bits instead of RGB.

    Raises:
        DataError: as `decode_image`.
    """
    with open_pixels(path, reading, verify=True) as source:
        if isinstance(source, Raster):
            values, own = source.load(), source.nodata
            if values.dtype == np.uint8:
                image = picture_of(values, reading) if values.ndim == 3 else Image.fromarray(values)
                return Decoded("8 bits", image, nodata=own)
            return Decoded(source.depth, None, values, own, source.window)
        own = gdal_nodata(source.tag_v2) if isinstance(source, TiffImageFile) else ()
        ImageOps.exif_transpose(source, in_place=True)
        return Decoded("8 bits", source, nodata=own)


def read_valid(path: ImageSource, reading: Reading) -> NDArray[np.bool_] | None:
    """Find the pixels of an image that have data.

    Args:
        path: the image's file, or its content.
        reading: how the file is read.

    Returns:
        `(H, W)`, False where there is no data; None if there are data everywhere. Files that can
        hold no such pixels are not decoded.

    Raises:
        DataError: as `read_image`.
    """
    if not file_of(path_of(path)).name.lower().endswith((*_MAY_LACK_DATA, ".nii.gz")):
        return None
    with open_pixels(path, reading) as source:
        if isinstance(source, Raster):
            if source.is_whole and not nodata_of(reading, source.nodata):
                return None
        elif not isinstance(source, TiffImageFile) or not gdal_nodata(source.tag_v2):
            return None
    invalid = decode_image(path, reading).invalid(reading)
    return None if invalid is None else ~invalid


def image_size(path: ImageSource, reading: Reading = AS_STORED) -> tuple[int, int]:
    """Read width and height in pixels of the upright image from its header alone.

    Args:
        path: the image's file, or its content.
        reading: how the file is read.

    Raises:
        DataError: the header cannot be read, or `read_image` would refuse the image.
    """
    return read_header(path, reading).size


def read_header(path: ImageSource, reading: Reading = AS_STORED) -> Header:
    """Read the size and the orientation of an image from its header alone.

    Args:
        path: the image's file, or its content.
        reading: how the file is read.

    Raises:
        DataError: the header cannot be read, or `read_image` would refuse the image.
    """
    with open_pixels(path, reading) as source:
        if isinstance(source, Raster):
            return Header(source.size, source.orientation)
        width, height = source.size
        orientation = orientation_in_header(source, path)
    size = (height, width) if orientation in SIDEWAYS else (width, height)
    return Header(size, orientation)

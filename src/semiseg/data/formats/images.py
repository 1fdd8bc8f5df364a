"""Image files: the formats that semiseg reads, how it opens them, and which ones it refuses."""

from __future__ import annotations

import math
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.reading import AS_STORED, RGB_CHANNELS, Reading
from semiseg.data.formats.band_image import AnyImage, BandImage
from semiseg.data.formats.bands import can_read_bands, has_deep_colors, raster_of_bands
from semiseg.data.formats.image_bytes import ImageBytes, ImageSource, open_source, path_of
from semiseg.data.formats.image_formats import (
    IMAGE_FORMATS,
    MissingExtraError,
    format_of,
    pillow_formats,
)
from semiseg.data.formats.raster_windows import file_of, split_window
from semiseg.data.formats.rasters import (
    SIDEWAYS,
    Depth,
    Raster,
    Values,
    depth_of,
    find_invalid,
    orientation_of,
    raster_of,
    to_bytes,
    varies_like_band,
)
from semiseg.data.formats.stacks import raster_of_stack
from semiseg.data.formats.tiff import (
    fault_of_channels,
    fault_of_header,
    fault_of_pages,
    gdal_nodata,
    has_pages,
    read_tags,
    reader_of,
)

UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""The errors that Pillow raises for broken files, and for files that are not images."""
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GIT_LFS = b"version https://git-lfs"
_WEB_PAGE = (b"<!doctype html", b"<html")
_SIGNATURE_BYTES = 32  # the first bytes of a file, which show its format
_METADATA_CHUNKS = (b"eXIf", b"zTXt", b"tEXt", b"iTXt")
_WITH_BANDS = ("TIFF", "JPEG 2000")
_ANIMATIONS = ("GIF", "WEBP", "PNG", "AVIF")

Remark = Literal["animated", "transparent", "fourth-band"]
"""What a person should know about an image that is read: only the first frame of an animation is
used; some areas are transparent; a fourth channel that is called transparency looks like a band."""
_MAY_LACK_DATA = (".tif", ".tiff", ".png", ".pgm", ".pnm", ".ppm", ".jp2", ".j2k", ".dcm", ".nii")
_MIN_TRANSPARENT = 0.001  # the share of an image below which transparent pixels are not mentioned


@dataclass(frozen=True)
class Decoded:
    """An image that was decoded to its end.

    Attributes:
        depth: the depth of the file's pixels.
        image: the upright image, in mode RGB or of other bands; None for images of more than 8
            bits.
        values: the values of an image of more than 8 bits; None for others.
        nodata: the values that the file itself names as those of pixels without data.
        window: the values that become black and white, where the file itself names them.
        remarks: what a person should know about the file.
        orientation: the orientation in its EXIF data, from 1 to 8; 1 is upright.
        axes: those of a stack of pages, and who says so; empty for other files.
    """

    depth: Depth
    image: AnyImage | None = None
    values: Values | None = None
    nodata: tuple[float, ...] = ()
    window: tuple[float, float] | None = None
    remarks: tuple[Remark, ...] = ()
    orientation: int = 1
    axes: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        if self.image is not None:
            return self.image.size
        return self.deep_values.shape[1], self.deep_values.shape[0]

    @property
    def deep_values(self) -> Values:
        """The values of an image of more than 8 bits."""
        assert self.values is not None  # nosec B101 - `image` is None
        return self.values

    def invalid(self, reading: Reading) -> NDArray[np.bool_] | None:
        """`(H, W)`, True where the image has no data; None if it has data everywhere."""
        nodata = nodata_of(reading, self.nodata)
        if self.values is not None:
            return find_invalid(self.values, nodata)
        return find_invalid(np.asarray(self.image), nodata) if nodata and self.nodata else None

    def picture(self, reading: Reading, where: object) -> AnyImage:
        """The image in RGB, or in other bands, of 8 bits.

        Args:
            reading: how the file is read.
            where: the file, for the error.

        Raises:
            DataError: the values need a range.
        """
        if self.image is not None:
            return self.image
        ranges = reading.ranges or reading.value_range
        pixels = to_bytes(self.deep_values, ranges, self.invalid(reading), where)
        return picture_of(pixels, reading)


class Header(NamedTuple):
    """What the header of an image says.

    Attributes:
        size: width and height in pixels of the upright image.
        orientation: the orientation in its EXIF data, from 1 to 8; 1 is upright.
    """

    size: tuple[int, int]
    orientation: int

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height in pixels of the image as it is stored."""
        return self.size[::-1] if self.orientation in SIDEWAYS else self.size


def nodata_of(reading: Reading, own: tuple[float, ...]) -> tuple[float, ...]:
    """The values of pixels without data: those that the user chose, and those that a file names."""
    if reading.nodata == ():
        return ()
    return tuple(dict.fromkeys((*(reading.nodata or ()), *own)))


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
    with _open(path, reading, verify=True) as source:
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
        remarks = _remarks(source) if remark else ()
        image = ImageOps.exif_transpose(source).convert("RGB")
        return Decoded("8 bits", image, None, own, None, remarks, orientation)


def has_raster(path: ImageSource, reading: Reading = AS_STORED) -> bool:
    """Whether an image is read as an array of values, as those of more than 8 bits are.

    Its pixels are not decoded.

    Raises:
        DataError: the header cannot be read, or `read_image` would refuse the image.
    """
    with _open(path, reading) as source:
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
    with _open(path, reading, verify=True) as source:
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
    with _open(path, reading) as source:
        if isinstance(source, Raster):
            if source.is_whole and not nodata_of(reading, source.nodata):
                return None
        elif not isinstance(source, TiffImageFile) or not gdal_nodata(source.tag_v2):
            return None
    invalid = decode_image(path, reading).invalid(reading)
    return None if invalid is None else ~invalid


def picture_of(pixels: NDArray[np.uint8], reading: Reading) -> AnyImage:
    """An array `(H, W)` or `(H, W, N)` as an image: of one or three bands in RGB."""
    if pixels.ndim == 2 or reading.channels == RGB_CHANNELS:
        return Image.fromarray(pixels).convert("RGB")
    return BandImage(pixels, reading.shown_channels)


def _remarks(file: Image.Image) -> tuple[Remark, ...]:
    """What a person should know about an open image of 8 bits."""
    remarks: list[Remark] = []
    if file.format in _ANIMATIONS and getattr(file, "is_animated", False):
        remarks.append("animated")
    if file.has_transparency_data:
        alpha = file.convert("RGBA").getchannel("A").histogram()
        between = alpha[1:255]
        total = sum(alpha)
        is_band = varies_like_band(sum(map(bool, between)), sum(between), total)
        if is_band and file.format in ("TIFF", "JPEG2000"):
            remarks.append("fourth-band")
        elif alpha[0] > _MIN_TRANSPARENT * total:
            remarks.append("transparent")
    return tuple(remarks)


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
    with _open(path, reading) as source:
        if isinstance(source, Raster):
            return Header(source.size, source.orientation)
        width, height = source.size
        orientation = _orientation_in_header(source, path)
    size = (height, width) if orientation in SIDEWAYS else (width, height)
    return Header(size, orientation)


def _orientation_in_header(file: Image.Image, path: ImageSource) -> int:
    """The orientation of an open image, without decoding its pixels."""
    # Pillow would decode a whole PNG to find out that it has no EXIF data.
    return orientation_of(file) if file.format != "PNG" or _has_metadata(path) else 1


def _has_metadata(path: ImageSource) -> bool:
    """Whether a PNG has a chunk that may hold an orientation; its pixels are not read."""
    with open_source(path) as stream:
        stream.seek(len(_PNG_SIGNATURE))
        while len(head := stream.read(8)) == 8:
            if head[4:] in _METADATA_CHUNKS:
                return True
            stream.seek(int.from_bytes(head[:4]) + 4, os.SEEK_CUR)  # the data and their checksum
    return False


@contextmanager
def open_image(path: ImageSource, *, verify: bool = False) -> Iterator[Image.Image]:
    """Open an image file without loading its pixels.

    Args:
        path: the file, or its content.
        verify: whether to compare a PNG's data with its checksums first. Pillow's decoder does not,
            and turns one changed bit in twenty into other pixels without an error.

    Yields:
        The open image.

    Raises:
        OSError: the file cannot be read, is empty, or is not a regular file.
        Exception: any of `UNREADABLE`, for a broken file.
    """
    _require_content(path)
    if not isinstance(path, ImageBytes):
        form = format_of(path)
        if form is not None and form.extra == "medical" and form.is_readable:
            yield Image.fromarray(raster_of_stack(path, form, AS_STORED).load())
            return
    # Given a name, Pillow (13.0) maps a TIFF into memory, and scrambles one that lies on its side.
    with open_source(path) as stream:
        start = stream.read(_SIGNATURE_BYTES)
        stream.seek(0)
        if start.startswith(_GIT_LFS):
            raise OSError(
                "it is a pointer of Git LFS, not the file: `git lfs pull` fetches the file"
            )
        if start.lstrip().lower().startswith(_WEB_PAGE):
            raise OSError("it is a web page, not an image: download the file again")
        if verify and start.startswith(_PNG_SIGNATURE):
            _verify(stream)
        with Image.open(stream, formats=pillow_formats(path_of(path), start)) as file:
            yield file


def _require_content(path: ImageSource) -> None:
    """Refuse what is empty, and a path that is no regular file.

    Raises:
        OSError: the path is one of these.
    """
    if isinstance(path, ImageBytes):
        size = len(path.data)
    else:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no regular file")  # opening a pipe would wait for its writer
        size = status.st_size
    if not size:
        raise OSError("it is empty, 0 bytes")


def _verify(stream: IO[bytes]) -> None:
    """Compare a PNG with its checksums; other formats have none that Pillow checks."""
    with Image.open(stream, formats=("PNG",)) as file:
        file.verify()
    stream.seek(0)


def reason(error: BaseException) -> str:
    """Say in a few words why Pillow cannot read a file."""
    if isinstance(error, UnidentifiedImageError):  # its text names our stream, not the file
        return f"it is damaged, or none of {', '.join(form.name for form in IMAGE_FORMATS)}"
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__


@contextmanager
def _open(
    path: ImageSource, reading: Reading, *, verify: bool = False
) -> Iterator[Image.Image | Raster]:
    """Open an image, and turn the errors, now and while it is open, into a DataError.

    Yields:
        An image of 8 bits, not loaded yet, or the values of a deeper one or of chosen bands.
    """
    if isinstance(path, ImageBytes) and path.needs_file:
        with path.as_file() as file:
            try:
                with _open(file, reading, verify=verify) as source:
                    yield source
            except DataError as error:
                message = error.message.replace(str(file), str(path))
                raise DataError(message, error.remedy) from None
        return
    try:
        with ExitStack() as stack:
            yield _source(path, reading, stack, verify)
    except UNREADABLE as error:
        # Where bands are chosen, Pillow's limits are no reason.
        by_path = not isinstance(path, ImageBytes) and reading.bands is None
        fault = fault_of_header(file_of(path_of(path))) if by_path else None
        if fault:
            raise DataError(f"{path} {fault}") from None
        raise DataError(
            f"{path} cannot be read as an image ({reason(error)}). Replace the file or remove it."
        ) from error


def _source(
    path: ImageSource, reading: Reading, stack: ExitStack, verify: bool
) -> Image.Image | Raster:
    """Open an image with the package that reads it.

    Raises:
        DataError: the image is refused.
        Exception: any of `UNREADABLE`, for a broken file.
    """
    if isinstance(path, ImageBytes):
        _require_three_channels(path, reading)
        return _with_depth(stack.enter_context(open_image(path, verify=verify)), path)
    raster_file, window = split_window(path)
    if window is not None:
        _require_content(raster_file)
        return raster_of_bands(raster_file, reading.bands, window)
    form = format_of(path)
    if form is not None and form.extra == "medical":
        _require_content(path)
        if not form.is_readable:
            raise MissingExtraError(form)
        return raster_of_stack(path, form, reading)
    if form is not None and form.name == "TIFF" and has_pages(path):
        return raster_of_stack(path, form, reading)
    if reading.bands is not None and form is not None and form.name in _WITH_BANDS:
        return raster_of_bands(path, reading.bands)
    _require_three_channels(path, reading)
    try:
        file = stack.enter_context(open_image(path, verify=verify))
    except UnidentifiedImageError:
        tags = read_tags(path)
        if tags is None or fault_of_channels(tags) or not can_read_bands():
            raise
        return raster_of_bands(path, None)
    nodata: tuple[float, ...] = ()
    if isinstance(file, TiffImageFile):
        if (form is None or form.name != "TIFF") and has_pages(path):
            raise DataError(f"{path} is a TIFF of several pages.", "Give it the suffix .tif.")
        fault = fault_of_pages(file)
        if fault:
            raise DataError(f"{path} {fault}")
        if reader_of(file.tag_v2) == "geo":
            return raster_of_bands(path, None)
        nodata = gdal_nodata(file.tag_v2)
    if file.format == "JPEG2000" and has_deep_colors(path):
        return raster_of_bands(path, None)
    return _with_depth(file, path, nodata)


def _with_depth(
    file: Image.Image, path: ImageSource, nodata: tuple[float, ...] = ()
) -> Image.Image | Raster:
    """An open image of 8 bits itself; the values of a deeper one."""
    depth = depth_of(file)
    if depth == "8 bits":
        return file
    # Pillow may load the pixels to find the orientation.
    return raster_of(
        file, lambda: open_image(path), depth, nodata, _orientation_in_header(file, path)
    )


def _require_three_channels(path: ImageSource, reading: Reading) -> None:
    """Refuse a file that Pillow reads where the other images have more bands.

    Raises:
        DataError: the reading wants other bands.
    """
    if reading.channels != RGB_CHANNELS:
        raise DataError(
            f"{path} has no {reading.channels} bands, as the other images have.",
            "Leave it out, or choose three bands of the others with --bands.",
        )

"""Opens an image with the package that reads it, and turns the errors of broken files into ours."""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO

from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from semiseg.core.errors import DataError
from semiseg.core.reading import AS_STORED, RGB_CHANNELS, Reading
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
    Raster,
    depth_of,
    orientation_of,
    raster_of,
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


def orientation_in_header(file: Image.Image, path: ImageSource) -> int:
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
def open_pixels(
    path: ImageSource, reading: Reading, *, verify: bool = False
) -> Iterator[Image.Image | Raster]:
    """Open an image, and turn the errors, now and while it is open, into a DataError.

    Yields:
        An image of 8 bits, not loaded yet, or the values of a deeper one or of chosen bands.
    """
    if isinstance(path, ImageBytes) and path.needs_file:
        with path.as_file() as file:
            try:
                with open_pixels(file, reading, verify=verify) as source:
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
        file, lambda: open_image(path), depth, nodata, orientation_in_header(file, path)
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

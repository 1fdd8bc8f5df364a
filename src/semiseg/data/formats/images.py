"""Image files: the formats that semiseg reads, how it opens them, and which ones it refuses."""

from __future__ import annotations

import math
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.data.formats.image_formats import IMAGE_FORMATS, pillow_formats
from semiseg.data.formats.tiff import fault_of_header, fault_of_pages

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
_SIGNATURE_BYTES = 32  # of a file tell its format
_METADATA_CHUNKS = (b"eXIf", b"zTXt", b"tEXt", b"iTXt")
_EXIF_ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)
"""The EXIF orientations that exchange width and height."""

Depth = Literal["8 bits", "deep gray", "deep color"]
"""How many bits a pixel has: 8 for each channel, or more for gray or for colors.

Gray images of floating-point numbers count as 8 bits: nobody knows their black and white.
"""


class Decoded(NamedTuple):
    """An image that was decoded to its end.

    Attributes:
        image: the upright image in mode RGB.
        depth: the depth of the file's pixels.
        orientation: the orientation in its EXIF data, from 1 to 8; 1 is upright.
    """

    image: Image.Image
    depth: Depth
    orientation: int = 1


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


def read_image(path: Path, reading: Reading = AS_STORED, enough: int | None = None) -> Image.Image:
    """Read an image in RGB, upright according to its EXIF data.

    The function reads gray, RGB, palette and CMYK images, drops transparency, and takes the first
    frame of an animation. It refuses a TIFF with several pages of the same size, since these may be
    times, depths or channels; it ignores smaller pages, such as the overviews of a map. It also
    refuses a TIFF with other channels: the user has to choose those that form the image.

    Args:
        path: the image's file.
        reading: how the file is read. Its value range applies to gray images of 16 or 32 bits and
            of floating-point numbers. Values outside are clipped, NaN becomes black. Without a
            range, 16 bits are scaled by the range of their type. Images of 8 bits do not change.
        enough: a short side in pixels that suffices. A JPEG may then come at a half, a quarter or
            an eighth of its size, but not smaller than this. That is several times faster.

    Returns:
        The image in mode RGB.

    Raises:
        DataError: the file cannot be decoded, is truncated, or is an image that is refused.
        ConfigError: the value range is empty.
    """
    return decode_image(path, reading, enough).image


def decode_image(path: Path, reading: Reading = AS_STORED, enough: int | None = None) -> Decoded:
    """Read an image as `read_image` does, and say how many bits its pixels have.

    Args:
        path: as for `read_image`.
        reading: as for `read_image`.
        enough: as for `read_image`.

    Raises:
        DataError: as `read_image`.
        ConfigError: as `read_image`.
    """
    value_range = reading.value_range
    if value_range is not None and not value_range[0] < value_range[1]:
        raise ConfigError(
            f"The value range {value_range[0]:g} to {value_range[1]:g} is empty. Give the value of "
            "black first, then a higher value for white."
        )
    with _checked(path, verify=True) as file:
        depth = depth_of(file)
        if value_range is not None and depth == "deep color":
            raise DataError(
                f"{path} has colors of 16 bits. semiseg reads their upper 8 bits, so a value range "
                "cannot be applied. Scale the image to 8 bits, or use it without a value range."
            )
        if enough is not None:
            factor = enough / min(file.size)
            file.draft(None, (math.ceil(file.width * factor), math.ceil(file.height * factor)))
        orientation = _orientation_of(file)
        upright = _to_eight_bits(ImageOps.exif_transpose(file), path, value_range)
        return Decoded(upright.convert("RGB"), depth, orientation)


def depth_of(file: Image.Image) -> Depth:
    """The depth of an open image whose pixels are not loaded yet."""
    if file.mode.startswith("I"):
        return "deep gray"
    return "deep color" if ";16" in str(getattr(file, "tile", "")) else "8 bits"


def image_size(path: Path) -> tuple[int, int]:
    """Read width and height in pixels of the upright image from its header alone.

    Raises:
        DataError: the header cannot be read, or `read_image` would refuse the image.
    """
    return read_header(path).size


def read_header(path: Path) -> Header:
    """Read the size and the orientation of an image from its header alone.

    Raises:
        DataError: the header cannot be read, or `read_image` would refuse the image.
    """
    with _checked(path) as file:
        width, height = file.size
        # Pillow would decode a whole PNG to find out that it has no EXIF data.
        has_exif = file.format != "PNG" or _has_metadata(path)
        orientation = _orientation_of(file) if has_exif else 1
    size = (height, width) if orientation in SIDEWAYS else (width, height)
    return Header(size, orientation)


def _has_metadata(path: Path) -> bool:
    """Whether a PNG has a chunk that may hold an orientation; its pixels are not read."""
    with path.open("rb") as stream:
        stream.seek(len(_PNG_SIGNATURE))
        while len(head := stream.read(8)) == 8:
            if head[4:] in _METADATA_CHUNKS:
                return True
            stream.seek(int.from_bytes(head[:4]) + 4, os.SEEK_CUR)  # the data and their checksum
    return False


def _orientation_of(file: Image.Image) -> int:
    """The orientation of an open image; 1 if it has none, or an impossible one."""
    if file.format == "TIFF":
        return 1  # Pillow gives the size and the pixels of a TIFF upright already
    orientation = file.getexif().get(_EXIF_ORIENTATION, 1)
    return int(orientation) if orientation in range(1, 9) else 1


@contextmanager
def open_image(path: Path, *, verify: bool = False) -> Iterator[Image.Image]:
    """Open an image file without loading its pixels.

    Args:
        path: the file.
        verify: whether to compare a PNG's data with its checksums first. Pillow's decoder does not,
            and turns one changed bit in twenty into other pixels without an error.

    Yields:
        The open image.

    Raises:
        OSError: the file cannot be read, is empty, or is not a regular file.
        Exception: any of `UNREADABLE`, for a broken file.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is no regular file")  # opening a pipe would wait for its writer
    if not status.st_size:
        raise OSError("it is empty, 0 bytes")
    # Given a name, Pillow (13.0) maps a TIFF into memory, and scrambles one that lies on its side.
    with path.open("rb") as stream:
        start = stream.read(_SIGNATURE_BYTES)
        stream.seek(0)
        if verify and start.startswith(_PNG_SIGNATURE):
            _verify(stream)
        with Image.open(stream, formats=pillow_formats(path, start)) as file:
            yield file


def _verify(stream: IO[bytes]) -> None:
    """Compare a PNG with its checksums; other formats have none that Pillow checks."""
    with Image.open(stream, formats=("PNG",)) as file:
        file.verify()
    stream.seek(0)


def reason(error: BaseException) -> str:
    """Say in a few words why Pillow cannot read a file."""
    if isinstance(error, UnidentifiedImageError):  # its text names our stream, not the file
        return f"it is none of {', '.join(form.name for form in IMAGE_FORMATS)}"
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__


@contextmanager
def _checked(path: Path, *, verify: bool = False) -> Iterator[Image.Image]:
    """Open an image file, and turn its errors, now and while it is open, into a DataError."""
    try:
        with open_image(path, verify=verify) as file:
            if isinstance(file, TiffImagePlugin.TiffImageFile):
                fault = fault_of_pages(file)
                if fault:
                    raise DataError(f"{path} {fault}")
            yield file
    except UNREADABLE as error:
        fault = fault_of_header(path)
        if fault:
            raise DataError(f"{path} {fault}") from None
        raise DataError(
            f"{path} cannot be read as an image ({reason(error)}). Replace the file or remove it."
        ) from error


def _to_eight_bits(
    image: Image.Image, path: Path, value_range: tuple[float, float] | None
) -> Image.Image:
    """Scale an image to 8 bits per channel.

    Raises:
        DataError: the pixels are floating-point numbers or exceed 16 bits, and there is no value
            range that says which values are black and white.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    if value_range is not None:
        low, high = value_range
        scaled = ((values.astype(np.float64) - low) * (255 / (high - low))).clip(0, 255)
        return Image.fromarray(np.nan_to_num(scaled).round().astype(np.uint8))
    if image.mode in ("I", "F"):
        lowest, highest = values.min(), values.max()
        if image.mode == "F" or lowest < 0 or highest > 65535:
            raise DataError(
                f"{path} holds values from {lowest} to {highest}, but an image has 8 or 16 bits "
                "per channel. Scale the image, or name the values that become black and white, "
                "such as --range 0,4095."
            )
    return Image.fromarray((values >> 8).astype(np.uint8))

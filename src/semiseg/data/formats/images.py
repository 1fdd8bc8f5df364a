"""Image files: which are read, how they are opened, what is said of a broken or strange one."""

from __future__ import annotations

import math
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from semiseg.core.errors import ConfigError, DataError
from semiseg.data.formats.tiff import fault_of_header, fault_of_pages

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF")
"""What is read, whatever the suffix. Pillow knows more, some of which start other programs."""
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
"""What Pillow raises for files that are broken, or no images at all."""
_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height


def list_files(folder: Path, suffixes: tuple[str, ...], deep: bool = True) -> list[Path]:
    """All files below `folder` with these suffixes, sorted; what is hidden is left out.

    Args:
        folder: there or not.
        suffixes: in small letters, with their dots.
        deep: whether those in subfolders count.
    """
    return sorted(
        p
        for p in (folder.rglob("*") if deep else folder.glob("*"))
        if p.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in p.relative_to(folder).parts)
        and p.is_file()
    )


def without_results(files: Iterable[Path], root: Path) -> list[Path]:
    """The files below `root` that lie neither in a run folder nor in what `suggest` wrote there."""
    made: dict[Path, bool] = {root: False}

    def is_made(folder: Path) -> bool:
        if folder not in made:
            run = (folder / "config.yaml").is_file() and (folder / "split").is_dir()
            made[folder] = run or (folder / "suggested.csv").is_file() or is_made(folder.parent)
        return made[folder]

    return [path for path in files if not is_made(path.parent)]


def list_images(folder: Path) -> list[Path]:
    """All image files below `folder`, sorted by their path; what is hidden is left out."""
    return list_files(folder, IMAGE_SUFFIXES)


def read_image(
    path: Path, value_range: tuple[float, float] | None = None, enough: int | None = None
) -> Image.Image:
    """The image in RGB, turned upright as its EXIF data say.

    Gray, RGB, palette and CMYK images are read, transparency is dropped, and of an animation the
    first frame is taken. A TIFF of several pages of one size is refused, since nobody knows whether
    they are moments, depths or channels; smaller pages, such as a map's overviews, are passed over.
    So is a TIFF of other channels than these: which of them are the image has to be chosen first.

    Args:
        path: the image's file.
        value_range: the values that become black and white in gray images of 16 or 32 bits or of
            floating-point numbers; what lies outside is clipped, NaN is black. Without it 16 bits
            are scaled by the range of the type. Images of 8 bits are not changed.
        enough: a short side in pixels that suffices. A JPEG may then come at a half, a quarter or
            an eighth of its size, at least as large as this, which is several times as fast.

    Raises:
        DataError: the file cannot be decoded, is cut off, or holds no image as described.
        ConfigError: the range is empty.
    """
    if value_range is not None and not value_range[0] < value_range[1]:
        raise ConfigError(
            f"The value range {value_range[0]:g} to {value_range[1]:g} is empty; name the value of "
            "black first, then a higher one for white."
        )
    with _checked(path) as file:
        if value_range is not None and deep_color(file):
            raise DataError(
                f"{path} holds colors of 16 bits, which are read by their upper 8 bits: a value "
                "range cannot be applied. Scale it to 8 bits, or use it without a range."
            )
        if enough is not None:
            factor = enough / min(file.size)
            file.draft(None, (math.ceil(file.width * factor), math.ceil(file.height * factor)))
        verify_checksums(file)
        return _eight_bits(ImageOps.exif_transpose(file), path, value_range).convert("RGB")


def deep_color(file: Image.Image) -> bool:
    """Whether an image that was opened, but not loaded, has colors of 16 bits."""
    return ";16" in str(getattr(file, "tile", "")) and not file.mode.startswith("I")


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels of the upright image, from its header alone.

    Raises:
        DataError: the header cannot be read, or tells of no image as `read_image` takes it.
    """
    with _checked(path) as file:
        width, height = file.size
        # Of a TIFF, Pillow gives the size and the pixels upright already.
        turned = file.format != "TIFF"
        sideways = turned and file.getexif().get(_EXIF_ORIENTATION, 1) in _SIDEWAYS
    return (height, width) if sideways else (width, height)


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """The image file, open, its pixels not yet read."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is no regular file")  # to open a pipe is to wait for its writer
    if not path.stat().st_size:
        raise OSError("it is empty, 0 bytes")
    # Given a name, Pillow (13.0) maps a TIFF into memory, and scrambles one that lies on its side.
    with path.open("rb") as stream, Image.open(stream, formats=FORMATS) as file:
        yield file


def verify_checksums(file: Image.Image) -> None:
    """Refuse an open PNG whose pixels do not have their checksum.

    Pillow looks at the other chunks alone, and takes one of twenty changed bits for other pixels.

    Raises:
        OSError: they do not.
    """
    if not isinstance(file, PngImagePlugin.PngImageFile) or file.fp is None:
        return
    stream = file.fp
    place = stream.tell()
    stream.seek(8)
    while len(head := stream.read(8)) == 8 and head[4:] != b"IEND":
        size = int.from_bytes(head[:4], "big")
        if head[4:] != b"IDAT":
            stream.seek(size + 4, 1)
            continue
        found = zlib.crc32(stream.read(size), zlib.crc32(b"IDAT"))
        if found != int.from_bytes(stream.read(4), "big"):
            raise OSError("its pixels do not have their checksum")
    stream.seek(place)


def reason(error: BaseException) -> str:
    """What Pillow says of a file that it cannot read."""
    if isinstance(error, UnidentifiedImageError):  # its text names our stream, not the file
        return f"it is none of {', '.join(FORMATS)}"
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__


@contextmanager
def _checked(path: Path) -> Iterator[Image.Image]:
    """The image file, open; what goes wrong with it, then or later, is a DataError."""
    try:
        with open_image(path) as file:
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


def _eight_bits(
    image: Image.Image, path: Path, value_range: tuple[float, float] | None
) -> Image.Image:
    """The image with 8 bits a channel.

    Raises:
        DataError: without a range, the pixels are floating-point numbers or exceed 16 bits, so that
            nobody knows what is black and what is white.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    if value_range is not None:
        low, high = value_range
        scaled = ((values.astype(np.float64) - low) * (255 / (high - low))).clip(0, 255)
        return Image.fromarray(np.nan_to_num(scaled).round().astype(np.uint8))
    if image.mode in ("I", "F"):
        least, most = values.min(), values.max()
        if image.mode == "F" or least < 0 or most > 65535:
            raise DataError(
                f"{path} holds values from {least} to {most}; an image has 8 or 16 bits a channel. "
                "Scale it to one of these, or give a value range: the values that become black and "
                "white."
            )
    return Image.fromarray((values >> 8).astype(np.uint8))

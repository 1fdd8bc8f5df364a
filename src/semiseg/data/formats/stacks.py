"""The pages of a stack: a TIFF of several pages, a NIfTI volume, or a DICOM film."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from semiseg.core.errors import ConfigError, DataError
from semiseg.data.formats.image_formats import IMAGE_FORMATS, format_of
from semiseg.data.formats.images import UNREADABLE, open_image, reason
from semiseg.data.formats.medical import open_volume
from semiseg.data.formats.rasters import Values, depth_of
from semiseg.data.formats.tiff import has_pages

STACK_SUFFIXES = tuple(
    suffix
    for form in IMAGE_FORMATS
    if form.name in ("TIFF", "DICOM", "NIfTI")
    for suffix in form.suffixes
)
"""The suffixes of files that may hold several pages."""

_PLAIN = (1, 8, 32946)  # TIFF's numbers of no compression and of deflate
_MODES = ("1", "L", "RGB", "RGBA", "I", "I;16", "I;16B", "F")


def is_stack(path: Path) -> bool:
    """Whether a TIFF holds several pages of one size; a broken file is none."""
    try:
        with open_image(path) as file:
            return isinstance(file, TiffImageFile) and has_pages(file)
    except UNREADABLE:
        return False


def read_pages(path: Path) -> Iterator[Image.Image]:
    """Decode the pages of a stack one after the other; no value changes.

    Args:
        path: a file with a suffix of `STACK_SUFFIXES`.

    Yields:
        Images of mode L, RGB, I;16 (0 to 65535), I (other whole numbers) or F.

    Raises:
        ConfigError: the extra `medical` is not installed.
        DataError: the file is no stack, or breaks off; the pages before were handed on.
    """
    form = format_of(path)
    if form is None or not path.name.lower().endswith(STACK_SUFFIXES):
        raise DataError(f"{path} is no stack: semiseg reads {', '.join(STACK_SUFFIXES)}.")
    package = form.package or "tifffile"
    if find_spec(package) is None:
        raise ConfigError(
            f"{path} needs {package}, which is not installed: pip install 'semiseg[medical]'."
        )
    try:
        if form.name == "TIFF":
            yield from map(_to_image, _tiff_pages(path))
        else:
            with open_volume(path, form) as volume:
                yield from map(_to_image, volume.slices)
    except UNREADABLE as error:
        raise DataError(
            f"{path} cannot be read ({reason(error)}).", "Replace the file or remove it."
        ) from error


def _tiff_pages(path: Path) -> Iterator[Values]:
    """The pages of a TIFF, those of ImageJ with a single header among them."""
    tifffile = importlib.import_module("tifffile")
    with tifffile.TiffFile(path) as file:
        if any(page.compression not in _PLAIN for page in file.pages):
            yield from _pillow_pages(path)
            return
        series = file.series[0]
        if len(series.pages) > 1 or series.axes in ("YX", "YXS"):
            yield from (page.asarray() for page in series.pages if page is not None)
        elif series.axes.endswith(("YX", "YXS")):  # one header for all pages
            values = series.asarray(out="memmap")
            plane = 3 if series.axes.endswith("S") else 2
            yield from values.reshape(-1, *values.shape[-plane:])
        else:
            raise OSError(f"its axes are {series.axes}, and pages need YX at their end")


def _pillow_pages(path: Path) -> Iterator[Values]:
    """The pages of a compressed TIFF, for which tifffile would need further packages."""
    with open_image(path) as file:
        for number in range(getattr(file, "n_frames", 1)):
            file.seek(number)
            if depth_of(file) == "deep color" or file.mode not in _MODES:
                raise OSError(f"page {number + 1} has mode {file.mode} and more than 8 bits")
            yield np.asarray(file)


def _to_image(values: Values) -> Image.Image:
    """A page as an image that holds the same values.

    Raises:
        DataError: the values are no image.
    """
    if values.ndim == 3 and values.shape[2] not in (3, 4):
        raise DataError(f"A page has {values.shape[2]} channels, and an image has 1 or 3.")
    if values.ndim == 3:
        if values.dtype != np.uint8:
            raise DataError(f"A page has colors of {values.dtype} numbers.", "Save it with 8 bits.")
        return Image.fromarray(np.ascontiguousarray(values[..., :3]))
    if values.dtype == bool:
        return Image.fromarray(values.astype(np.uint8) * 255)
    if values.dtype.kind == "f":
        return Image.fromarray(values.astype(np.float32))
    low, high = int(values.min()), int(values.max())
    if values.dtype == np.uint8:
        return Image.fromarray(values)
    if low >= 0 and high <= 65535:
        return Image.fromarray(values.astype(np.uint16))
    return Image.fromarray(values.astype(np.int32))

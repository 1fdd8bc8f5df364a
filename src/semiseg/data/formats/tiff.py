"""TIFF files: which of them Pillow reads, which need another package, and which are refused."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal, SupportsInt, TypeAlias

import numpy as np
from PIL import TiffImagePlugin

from semiseg.data.formats.bands import INSTALL_GEO, can_read_bands, choice_of_bands

_SUBFILE, _BITS, _PHOTOMETRIC, _CHANNELS, _EXTRA, _FORMAT = 254, 258, 262, 277, 338, 339
_WIDTH, _HEIGHT = 256, 257
_DESCRIPTION, _PLANES, _GDAL_NODATA = 270, 284, 42113
_REDUCED, _TRANSPARENCY = 1, 4  # bits of NewSubfileType
_BLACK_IS_ZERO, _RGB, _CMYK = 1, 2, 5  # of PhotometricInterpretation
ALPHA_KINDS = (1, 2)
"""The values of ExtraSamples that mean transparency: multiplied in, or not."""
_FORMATS = {2: "signed ", 3: "floating-point "}
_NOT_READ = "is a TIFF with {} channels of {}-bit {}numbers"

_BROKEN = (OSError, ValueError, SyntaxError, TypeError, KeyError, struct.error, OverflowError)

Tags: TypeAlias = Mapping[int, object]
Reader: TypeAlias = Literal["pillow", "geo"]

# rasterio and tifffile write three channels as "black is zero" unless they are told that these are
# RGB. Pillow decodes them once its table of kinds has an entry.
for _order, _letter in ((TiffImagePlugin.II, "L"), (TiffImagePlugin.MM, "B")):
    for _bits, _raw in ((8, "RGB"), (16, f"RGB;16{_letter}")):
        for _extras in ((), (0, 0)):
            _key = (_order, _BLACK_IS_ZERO, (1,), 1, (_bits,) * 3, _extras)
            TiffImagePlugin.OPEN_INFO.setdefault(_key, ("RGB", _raw))


def fault_of_pages(file: TiffImagePlugin.TiffImageFile) -> str | None:
    """Say why an open TIFF of one page is not an image with known channels.

    Args:
        file: the open file.

    Returns:
        The end of a sentence that begins with the path, or None if there is no fault.
    """
    fault = fault_of_channels(file.tag_v2)
    if fault:
        return fault
    size = file.size
    # Pillow leaves pixels black that no strip or tile holds.
    parts = [tile[1] or (0, 0, 0, 0) for tile in file.tile]
    if sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in parts) < size[0] * size[1]:
        return (
            f"is damaged: its header says {size[0]} x {size[1]} pixels, but the file holds fewer. "
            "Replace the file or remove it."
        )
    return None


def has_pages(path: Path) -> bool:
    """Whether a TIFF holds several pages of one size.

    Smaller pages, such as the overviews of a map, and masks of transparency do not count.

    Raises:
        OSError: the second page is missing.
    """
    return read_header(path)[1]


def read_header(path: Path) -> tuple[Tags | None, bool]:
    """The tags of the first page, as `read_tags` gives them, and what `has_pages` says.

    Raises:
        OSError: the file cannot be opened, or its second page is missing.
    """
    with path.open("rb") as file:
        try:
            tags = _first_tags(file)
            if tags is None:
                return None, False
            match = re.search(r"^images=(\d+)", str(tags.get(_DESCRIPTION, "")), re.MULTILINE)
            if match is not None and str(tags[_DESCRIPTION]).startswith("ImageJ="):
                return tags, int(match[1]) > 1  # large ones have a single header for all pages
            size = tags[_WIDTH], tags[_HEIGHT]
        except _BROKEN:
            return read_tags(path), False
        if not tags.next:
            return tags, False
        try:
            second = _directory(file)
            assert second is not None  # nosec B101 - the first one is there
            file.seek(tags.next)
            second.load(file)
            kind = _number(second, _SUBFILE, 0)
            has_size = (second[_WIDTH], second[_HEIGHT]) == size
            return tags, has_size and not kind & (_REDUCED | _TRANSPARENCY)
        except _BROKEN as error:
            raise OSError("its second page is missing") from error


def read_tags(path: Path) -> Tags | None:
    """The tags of the first page of a TIFF; None if the file is no TIFF, or is broken."""
    with suppress(*_BROKEN), path.open("rb") as file:
        return _first_tags(file)
    return None


def _first_tags(file: IO[bytes]) -> TiffImagePlugin.ImageFileDirectory_v2 | None:
    """The tags of the first page of an open file; None if it is no TIFF.

    Raises:
        Exception: any of `_BROKEN`.
    """
    tags = _directory(file)
    if tags is not None:
        file.seek(tags.next)
        tags.load(file)
    return tags


def _directory(file: IO[bytes]) -> TiffImagePlugin.ImageFileDirectory_v2 | None:
    """The place for the tags of a page of an open file; None if it is no TIFF."""
    file.seek(0)
    start = file.read(8)
    if start[:4] not in TiffImagePlugin.PREFIXES:
        return None
    header = start + file.read(8) if start[2] == 43 else start  # 43 is a BigTIFF
    return TiffImagePlugin.ImageFileDirectory_v2(header)


def reader_of(tags: Tags) -> Reader:
    """The package that reads a TIFF whose channels are known.

    Raises:
        TypeError: a tag is not a number.
    """
    bits, form, count = _number(tags, _BITS), _number(tags, _FORMAT), _number(tags, _CHANNELS)
    if _number(tags, _PHOTOMETRIC, 0) == _CMYK:
        return "pillow"
    if count > 1 and _number(tags, _PLANES) != 1:
        plain = bits == 8 and _number(tags, _PHOTOMETRIC, 0) == _RGB and count == 3
        return "pillow" if plain else "geo"
    if form == 1 and bits <= 16:
        return "pillow" if tags.get(_EXTRA) != (1,) or bits == 8 else "geo"
    return "pillow" if count == 1 and (bits, form) != (64, 3) else "geo"


def hides_channels(tags: Tags) -> bool:
    """Whether Pillow would show the first one of several channels alone, as it does with planes.

    Raises:
        TypeError: a tag is not a number.
    """
    is_gray = _number(tags, _PHOTOMETRIC, 0) <= _BLACK_IS_ZERO
    return is_gray and _number(tags, _CHANNELS) > 1 and _number(tags, _PLANES) != 1


def fault_of_header(path: Path) -> str | None:
    """Say what a TIFF holds that Pillow cannot open.

    Returns:
        The end of a sentence that begins with the path; None if the file is not a TIFF, or if it is
        broken.
    """
    tags = read_tags(path)
    if tags is None:
        return None
    try:
        return fault_of_channels(tags) or _fault_of_kind(tags)
    except TypeError:
        return None


def channels_of(tags: Tags) -> tuple[int, tuple[object, ...]] | None:
    """The number of channels of a TIFF, and the kinds of those beyond its colors; None for CMYK.

    Raises:
        TypeError: a tag is not a number.
    """
    if _number(tags, _PHOTOMETRIC, 0) == _CMYK:
        return None
    extra = tags.get(_EXTRA, ())
    return _number(tags, _CHANNELS), extra if isinstance(extra, tuple) else (extra,)


def fault_of_channels(tags: Tags) -> str | None:
    """Say that nobody knows which channels of a TIFF form the image; None if they are known."""
    count, extra = _number(tags, _CHANNELS), tags.get(_EXTRA)
    cmyk = _number(tags, _PHOTOMETRIC, 0) == _CMYK
    alpha = extra in [(kind,) for kind in ALPHA_KINDS]
    if count in (1, 3) or (count == 2 and alpha) or (count == 4 and (cmyk or alpha)):
        return None
    return choice_of_bands("a TIFF", count)


def gdal_nodata(tags: Tags) -> tuple[float, ...]:
    """The value of pixels without data that GDAL wrote into a TIFF; empty if there is none."""
    try:
        value = float(str(tags.get(_GDAL_NODATA, "")).strip("\0 "))
    except ValueError:
        return ()
    return (value,) if np.isfinite(value) else ()


def _fault_of_kind(tags: Tags) -> str | None:
    """Describe a TIFF that Pillow refuses although its channels are fine."""
    bits, form, count = _number(tags, _BITS), _number(tags, _FORMAT), _number(tags, _CHANNELS)
    if reader_of(tags) == "pillow" and bits in (8, 16, 32):
        return None  # broken in another way
    kind = _NOT_READ.format(count, bits, _FORMATS.get(form, ""))
    if can_read_bands():
        return f"{kind}, which semiseg cannot read. Replace the file or remove it."
    return f"{kind}, which need an extra: {INSTALL_GEO}."


def _number(tags: Tags, tag: int, default: int = 1) -> int:
    """The value of a tag as a whole number, or the first of its values.

    Raises:
        TypeError: the value is not a number.
    """
    value = tags.get(tag, default)
    if isinstance(value, tuple):
        value = value[0]
    if not isinstance(value, SupportsInt):
        raise TypeError(f"tag {tag} is {value!r}")
    return int(value)

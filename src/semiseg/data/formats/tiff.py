"""TIFF files that are not a single image: the reasons, found before Pillow reads a part of one."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import SupportsInt, TypeAlias

from PIL import TiffImagePlugin

_SUBFILE, _BITS, _PHOTOMETRIC, _CHANNELS, _EXTRA, _FORMAT = 254, 258, 262, 277, 338, 339
_REDUCED, _TRANSPARENCY = 1, 4  # bits of NewSubfileType
_CMYK = 5  # of PhotometricInterpretation
_FORMATS = {2: "signed ", 3: "floating-point "}
_SCALE = "`gdal_translate -ot Byte -scale LOW HIGH 0 255"

Tags: TypeAlias = Mapping[int, object]


def fault_of_pages(file: TiffImagePlugin.TiffImageFile) -> str | None:
    """Say why an open TIFF is not a single image with known channels.

    Args:
        file: the open file; its first page stays the current one.

    Returns:
        The end of a sentence that begins with the path, or None if there is no fault.
    """
    fault = _fault_of_channels(file.tag_v2)
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
    try:
        file.seek(1)
    except EOFError:
        return None
    kind = _number(file.tag_v2, _SUBFILE, 0)
    stack = file.size == size and not kind & (_REDUCED | _TRANSPARENCY)
    file.seek(0)
    if stack:
        return (
            f"is a stack of pages of {size[0]} x {size[1]} pixels. Save each page as a separate "
            "image, for example with `tiffsplit`."
        )
    return None


def fault_of_header(path: Path) -> str | None:
    """Say what a TIFF holds that Pillow cannot open.

    Returns:
        The end of a sentence that begins with the path; None if the file is not a TIFF, or if it is
        broken.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
            if start[:4] not in TiffImagePlugin.PREFIXES:
                return None
            header = start + file.read(8) if start[2] == 43 else start  # 43 is a BigTIFF
            tags = TiffImagePlugin.ImageFileDirectory_v2(header)
            file.seek(tags.next)
            tags.load(file)
            return _fault_of_channels(tags) or _fault_of_kind(tags)
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, struct.error, OverflowError):
        return None


def _fault_of_channels(tags: Tags) -> str | None:
    count, extra = _number(tags, _CHANNELS), tags.get(_EXTRA)
    cmyk = _number(tags, _PHOTOMETRIC, 0) == _CMYK
    alpha = extra in ((1,), (2,))  # multiplied in, or not
    if count in (1, 3) or (count == 2 and alpha) or (count == 4 and (cmyk or alpha)):
        return None
    return (
        f"is a TIFF with {count} channels, and semiseg does not know which ones form the image. "
        "Choose three bands as red, green and blue, or a single one, and save them with 8 bits, "
        f"for example {_SCALE} -b 3 -b 2 -b 1 IN OUT.png`."
    )


def _fault_of_kind(tags: Tags) -> str | None:
    """Describe a TIFF that Pillow refuses although its channels are fine."""
    bits, form = _number(tags, _BITS), _number(tags, _FORMAT)
    if _number(tags, _CHANNELS) == 1 and bits in (8, 16):
        return None  # broken in another way
    return (
        f"is a TIFF with {_number(tags, _CHANNELS)} channels of {bits}-bit "
        f"{_FORMATS.get(form, '')}numbers, which semiseg cannot read. Save it with 8 bits, for "
        f"example {_SCALE} IN OUT.png`."
    )


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

"""TIFF files may hold anything; this says what, before Pillow reads a part of it or nothing."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import TiffImagePlugin

_SUBFILE, _BITS, _PHOTOMETRIC, _CHANNELS, _EXTRA, _FORMAT = 254, 258, 262, 277, 338, 339
_REDUCED, _TRANSPARENCY = 1, 4  # bits of NewSubfileType
_CMYK = 5  # of PhotometricInterpretation
_FORMATS = {2: "signed ", 3: "floating-point "}
_SCALE = "`gdal_translate -ot Byte -scale LOW HIGH 0 255"


def fault_of_pages(file: TiffImagePlugin.TiffImageFile) -> str | None:
    """Why this open TIFF is no single image of known channels; None if it is one."""
    fault = _fault_of_channels(file.tag_v2)
    if fault:
        return fault
    size = file.size
    # Pillow leaves black what no strip or tile holds.
    parts = [tile[1] or (0, 0, 0, 0) for tile in file.tile]
    if sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in parts) < size[0] * size[1]:
        return (
            f"is damaged: it has {size[0]} x {size[1]} pixels by its header, and holds fewer. "
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
            f"is a stack of pages of {size[0]} x {size[1]} pixels. Save the pages as images of "
            "their own, for instance with `tiffsplit`."
        )
    return None


def fault_of_header(path: Path) -> str | None:
    """What a TIFF holds that Pillow cannot open; None if it is no TIFF or broken."""
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


def _fault_of_channels(tags: Mapping[int, Any]) -> str | None:
    count, extra = _number(tags, _CHANNELS), tags.get(_EXTRA)
    cmyk = _number(tags, _PHOTOMETRIC, 0) == _CMYK
    alpha = extra in ((1,), (2,))  # multiplied in, or not
    if count in (1, 3) or (count == 2 and alpha) or (count == 4 and (cmyk or alpha)):
        return None
    return (
        f"is a TIFF of {count} channels, of which it is not clear what to show. Choose three bands "
        "to stand for red, green and blue, or a single one, and save them with 8 bits, for "
        f"instance {_SCALE} -b 3 -b 2 -b 1 IN OUT.png`."
    )


def _fault_of_kind(tags: Mapping[int, Any]) -> str | None:
    """For a TIFF that Pillow refuses though its channels are in order: what kind it is."""
    bits, form = _number(tags, _BITS), _number(tags, _FORMAT)
    if _number(tags, _CHANNELS) == 1 and bits in (8, 16):
        return None  # broken in another way
    return (
        f"is a TIFF of {_number(tags, _CHANNELS)} channels of {bits}-bit "
        f"{_FORMATS.get(form, '')}numbers, a kind that is not read. Save it with 8 bits, for "
        f"instance {_SCALE} IN OUT.png`."
    )


def _number(tags: Mapping[int, Any], tag: int, default: int = 1) -> int:
    """The tag's value, or the first of its values."""
    value = tags.get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)

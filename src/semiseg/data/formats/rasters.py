"""The values of images that are not RGB of 8 bits already: deep ones, single bands, no-data."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from semiseg.core.errors import DataError

Depth = Literal["8 bits", "deep gray", "deep color", "deep bands"]
"""How many bits a pixel has: 8 for each channel, or more for gray, colors or other bands."""
Values: TypeAlias = NDArray[Any]
"""`(H, W)` gray or `(H, W, N)` values as the file holds them, of any type of number."""
SIDEWAYS = (5, 6, 7, 8)
"""The EXIF orientations that exchange width and height."""
_EXIF_ORIENTATION = 0x0112
_GRAY_AND_ALPHA = "LA;16B"  # Pillow's name of a PNG's 16 bits for gray and for transparency
_TYPE_MAX = 65535  # of images that need no range
_MAX_BLOCK = 1 << 20  # numbers that are scaled at a time, in numbers of eight bytes
_MIN_BAND_LEVELS, _MIN_BAND_SHARE = 16, 0.2  # of values between the ends of a channel
_CLOSE = 1e-5  # how much a no-data value may differ when a text of the file rounds it


@dataclass(frozen=True)
class Raster:
    """An image whose values are not yet RGB of 8 bits.

    Attributes:
        size: width and height in pixels, upright.
        depth: the depth of its pixels.
        load: decodes the values.
        nodata: the values that the file itself names as those of pixels without data.
        window: the values that become black and white, where the file itself names them.
        is_whole: whether the values are whole numbers for certain, and so none is not-a-number.
        orientation: the orientation in its EXIF data, from 1 to 8; 1 is upright.
        axes: those of a stack of pages, and who says so; empty for other files.
    """

    size: tuple[int, int]
    depth: Depth
    load: Callable[[], Values]
    nodata: tuple[float, ...] = ()
    window: tuple[float, float] | None = None
    is_whole: bool = False
    orientation: int = 1
    axes: str = ""


def orientation_of(file: Image.Image) -> int:
    """The orientation of an open image; 1 if it has none, or an impossible one."""
    if file.format == "TIFF":
        return 1  # Pillow gives the size and the pixels of a TIFF upright already
    orientation = file.getexif().get(_EXIF_ORIENTATION, 1)
    return int(orientation) if orientation in range(1, 9) else 1


def depth_of(file: Image.Image) -> Depth:
    """The depth of an open image whose pixels are not loaded yet."""
    if file.mode.startswith(("I", "F")):
        return "deep gray"
    for tile in getattr(file, "tile", ()):
        args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if args[0] == _GRAY_AND_ALPHA:
            return "deep gray"
        if str(args[0]).startswith(("RGB;16", "RGBA;16", "RGBX;16")):
            return "deep color"
        if tile[0] == "ppm" and args[0] == "RGB" and args[1] > 255:
            return "deep color"
    return "8 bits"


def raster_of(
    file: Image.Image,
    again: Callable[[], AbstractContextManager[Image.Image]],
    depth: Depth,
    nodata: tuple[float, ...],
    orientation: int,
) -> Raster:
    """The values of an open image of more than 8 bits.

    Args:
        file: the image, not loaded yet.
        again: opens the same file once more.
        depth: its depth, as `depth_of` gives it before the pixels are loaded.
        nodata: the values of pixels without data that the file names.
        orientation: the orientation in its EXIF data.
    """
    whole = file.mode != "F"
    size = file.size[::-1] if orientation in SIDEWAYS else file.size

    def load() -> Values:
        if file.mode.startswith(("I", "F")):
            return np.asarray(ImageOps.exif_transpose(file))
        high, low = (_read_bytes(again, is_upper) for is_upper in (True, False))
        return high.astype(np.uint16) << 8 | low

    return Raster(size, depth, load, nodata, None, whole, orientation)


def _read_bytes(
    again: Callable[[], AbstractContextManager[Image.Image]], is_upper: bool
) -> NDArray[np.uint8]:
    """The upper or the lower byte of each value of an image of 16 bits, without transparency.

    Pillow keeps the upper byte. With the other order of the bytes it keeps the lower one.

    Returns:
        `(H, W)` of a gray image, `(H, W, 3)` of RGB.
    """
    with again() as file:
        assert isinstance(file, ImageFile.ImageFile)  # nosec B101 - depth_of saw its tiles
        if file.tile[0].args == _GRAY_AND_ALPHA:  # is read as four channels: two bytes of each
            file.tile = [tile._replace(args="RGBA") for tile in file.tile]
            return np.asarray(ImageOps.exif_transpose(file))[..., 0 if is_upper else 1]
        file.tile = [_with_order(tile, is_upper) for tile in file.tile]
        return np.asarray(ImageOps.exif_transpose(file))[..., :3]


def _with_order(tile: ImageFile._Tile, is_upper: bool) -> ImageFile._Tile:
    """A tile that gives the upper or the lower byte of each value."""
    name, box, offset, args = tile
    if name == "ppm":  # its own decoder scales to 8 bits
        name, args = "raw", ("RGB;16B", 0, 1)
    first, *rest = args if isinstance(args, tuple) else (args,)
    mode = str(first)
    if not is_upper:
        order = mode[-1] if mode[-1] != "N" else ("L" if sys.byteorder == "little" else "B")
        mode = mode[:-1] + {"L": "B", "B": "L"}[order]
    return ImageFile._Tile(name, box, offset, (mode, *rest) if rest else mode)


def varies_like_band(levels: int, between: int, pixels: int) -> bool:
    """Whether a channel that a file calls transparency is a band instead, such as infrared.

    Args:
        levels: the number of different values between the lowest and the highest one.
        between: the number of pixels with such a value.
        pixels: the number of all pixels.
    """
    return levels >= _MIN_BAND_LEVELS and between > _MIN_BAND_SHARE * pixels


def find_invalid(values: Values, nodata: tuple[float, ...]) -> NDArray[np.bool_] | None:
    """Find the pixels without data.

    Args:
        values: the values of an image.
        nodata: the values that mark such pixels; not-a-number always does.

    Returns:
        `(H, W)`, True where there is no data; None if there are data everywhere. A pixel of a color
        image has no data if that holds for all channels.
    """
    invalid = find_missing(values, nodata)
    pixels = np.asarray(invalid.all(axis=2)) if invalid.ndim == 3 else invalid
    return pixels if pixels.any() else None


def find_missing(values: Values, nodata: tuple[float, ...]) -> NDArray[np.bool_]:
    """Find the values that are no data, each by itself.

    Args:
        values: of any shape.
        nodata: the values that mark them; not-a-number always does.
    """
    missing: NDArray[np.bool_] = np.zeros(values.shape, bool)
    if values.dtype.kind == "f":
        np.isnan(values, out=missing)
    for value in nodata:
        missing |= _equals(values, value)
    return missing


def _equals(values: Values, value: float) -> NDArray[np.bool_]:
    """Where values are equal to one that a text may have rounded."""
    if values.dtype.kind == "f":
        return np.asarray(np.isclose(values, value, _CLOSE, 0))
    return np.asarray(values == value)


def _needs_range(values: Values, invalid: NDArray[np.bool_] | None, where: object) -> DataError:
    """The error about values of which nobody knows what is black and white."""
    valid = values if invalid is None else values[~invalid]
    valid = valid[np.isfinite(valid)]
    if not valid.size:
        return DataError(f"{where} holds no data in any pixel. Remove it.")
    low, high = (f"{float(end):.6g}" for end in (valid.min(), valid.max()))
    return DataError(
        f"{where} holds values from {low} to {high}, but an image has 8 or 16 bits per channel. "
        "Scale the image, or name the values that become black and white, such as "
        f"--range={low},{high}."
    )


def to_bytes(
    values: Values,
    value_range: tuple[float, float] | tuple[tuple[float, float], ...] | None,
    invalid: NDArray[np.bool_] | None,
    where: object,
) -> NDArray[np.uint8]:
    """Scale values to 8 bits; pixels without data become black.

    Args:
        values: the values of an image, `(H, W)` or `(H, W, N)`.
        value_range: the values that become black and white, of all bands or of each one; None for
            0 and 65535.
        invalid: where there is no data.
        where: the image's file, for the error.

    Raises:
        DataError: the values are floating-point numbers or exceed 16 bits, and there is no range
            that says which values are black and white; or the ranges are of other bands.
    """
    if value_range is not None:
        low, high = np.array(value_range, dtype=np.float64).T
        if low.ndim and low.shape != values.shape[2:]:
            raise DataError(f"There are ranges for {len(low)} bands, but {where} has others.")
        pixels = np.empty(values.shape, np.uint8)
        rows = max(1, _MAX_BLOCK * len(values) // max(1, values.size))
        for top in range(0, len(values), rows):
            wide = values[top : top + rows].astype(np.float64)
            eight = np.nan_to_num(((wide - low) * (255 / (high - low))).clip(0, 255)).round()
            pixels[top : top + rows] = eight
    else:
        if values.dtype.kind == "f" or values.min() < 0 or values.max() > _TYPE_MAX:
            raise _needs_range(values, invalid, where)
        pixels = (values >> 8).astype(np.uint8)
    if invalid is not None:
        pixels[invalid] = 0
    return pixels

"""A decoded image: its pixels or deep values, and what the file says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.reading import RGB_CHANNELS, Reading
from semiseg.data.formats.band_image import AnyImage, BandImage
from semiseg.data.formats.rasters import (
    SIDEWAYS,
    Depth,
    Values,
    find_invalid,
    to_bytes,
    varies_like_band,
)

_ANIMATIONS = ("GIF", "WEBP", "PNG", "AVIF")

Remark = Literal["animated", "transparent", "fourth-band"]
"""What a person should know about an image that is read: only the first frame of an animation is
used; some areas are transparent; a fourth channel that is called transparency looks like a band."""
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


def picture_of(pixels: NDArray[np.uint8], reading: Reading) -> AnyImage:
    """An array `(H, W)` or `(H, W, N)` as an image: of one or three bands in RGB."""
    if pixels.ndim == 2 or reading.channels == RGB_CHANNELS:
        return Image.fromarray(pixels).convert("RGB")
    return BandImage(pixels, reading.shown_channels)


def remarks_on(file: Image.Image) -> tuple[Remark, ...]:
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

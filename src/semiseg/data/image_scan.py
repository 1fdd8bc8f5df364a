"""What an image holds: its size, a hash of its pixels, and what most files do not have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.core.files import short_hash
from semiseg.core.reading import Reading
from semiseg.data.formats.band_image import AnyImage
from semiseg.data.formats.decoded import Header, Remark, picture_of
from semiseg.data.formats.images import decode_image
from semiseg.data.formats.rasters import Depth, Values, to_bytes
from semiseg.data.near_duplicates import thumbnail


@dataclass(frozen=True)
class Extremes:
    """The ends of the values of an image, without pixels that have no data.

    Attributes:
        low: the lowest value.
        next_low: the lowest one of the others; equal to `low` if all values are equal.
        low_pixels: the pixels with the lowest value in all channels.
        high: the highest value.
        next_high: the highest one of the others.
        high_pixels: the pixels with the highest value in all channels.
        pixels: all pixels that have data.
    """

    low: float
    next_low: float
    low_pixels: int
    high: float
    next_high: float
    high_pixels: int
    pixels: int

    @property
    def span(self) -> tuple[float, float]:
        """Black and white of a picture of this image alone."""
        return (self.low, self.high) if self.low < self.high else (self.low, self.low + 1)

    def mirrored(self) -> Extremes:
        """The ends of the negative values."""
        return Extremes(
            *(-self.high, -self.next_high, self.high_pixels),
            *(-self.low, -self.next_low, self.low_pixels),
            self.pixels,
        )

    @classmethod
    def of(cls, values: Values, invalid: NDArray[np.bool_] | None) -> Extremes | None:
        """The ends of values `(H, W)` or `(H, W, 3)`; None if no pixel has data."""
        pixels = values.reshape(values.shape[0] * values.shape[1], -1)
        if invalid is not None:
            pixels = pixels[~invalid.reshape(-1)]
        if pixels.dtype.kind == "f":
            pixels = pixels[np.isfinite(pixels).all(axis=1)]
        if not len(pixels):
            return None
        low, high = pixels.min(), pixels.max()
        others = pixels[(pixels != low) & (pixels != high)]
        next_low, next_high = (others.min(), others.max()) if others.size else (high, low)
        counts = (int((pixels == end).all(axis=1).sum()) for end in (low, high))
        return cls(
            *(float(low), float(next_low), next(counts)),
            *(float(high), float(next_high), next(counts)),
            len(pixels),
        )


@dataclass(frozen=True)
class ImageDetails:
    """What most image files do not have.

    Attributes:
        remarks: what a person should know about the file.
        invalid: the number of pixels without data.
        nodata: the values that the file itself names as those of pixels without data.
        window: the values that become black and white, where the file itself names them.
        extremes: the ends of the values of an image of more than 8 bits, or None.
        axes: those of a stack of pages, and who says so; empty for other files.
    """

    remarks: tuple[Remark, ...] = ()
    invalid: int = 0
    nodata: tuple[float, ...] = ()
    window: tuple[float, float] | None = None
    extremes: Extremes | None = None
    axes: str = ""


NO_DETAILS = ImageDetails()


class ImageScan(NamedTuple):
    """The result of decoding one image to its end.

    Attributes:
        size: width and height in pixels, upright.
        digest: a hash of its pixels in RGB; identical images have the same, whatever their files.
        depth: the depth of the file's pixels.
        orientation: the orientation in its EXIF data, from 1 to 8; 1 is upright.
        thumbnail: its gray values in small, by which near-duplicates are found.
        details: what most files do not have.
    """

    size: tuple[int, int]
    digest: str
    depth: Depth
    orientation: int = 1
    thumbnail: str = ""
    details: ImageDetails = NO_DETAILS

    @property
    def header(self) -> Header:
        """What the header of the file says."""
        return Header(self.size, self.orientation)


def scan_image(path: Path, reading: Reading) -> ImageScan:
    """Decode an image to its end, as `read_image` does.

    Raises:
        DataError: it cannot be decoded, or is truncated.
    """
    image = decode_image(path, reading, remark=True)
    invalid = image.invalid(reading)
    details = ImageDetails(
        image.remarks,
        0 if invalid is None else int(invalid.sum()),
        image.nodata,
        image.window,
        axes=image.axes,
    )
    picture: AnyImage
    if image.image is not None:
        picture = image.image
        digest = short_hash(f"{image.size}", picture.tobytes())
    else:
        values = image.deep_values
        ends = Extremes.of(values, invalid)
        details = replace(details, extremes=ends)
        pixels = to_bytes(values, ends.span if ends else (0, 1), invalid, path)
        picture = picture_of(pixels, reading)
        raw = values.astype(values.dtype.newbyteorder("<")).tobytes()
        digest = short_hash(f"{image.size} {values.dtype.kind}", raw)
    small = thumbnail(picture.convert("RGB"))
    return ImageScan(image.size, digest, image.depth, image.orientation, small, details)

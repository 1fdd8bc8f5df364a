"""Images of many megapixels: how large one may be, and how it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.reading import Reading
from semiseg.data.formats.band_image import AnyImage, BandImage
from semiseg.data.formats.decoded import nodata_of
from semiseg.data.formats.image_bytes import ImageSource
from semiseg.data.formats.images import decode_image, decode_large, image_size, read_image
from semiseg.data.formats.rasters import Values, find_invalid

MAX_PIXELS = 2_000_000_000
"""The pixels of an image that `predict` still reads: its own image of 44,000 x 44,000."""
LARGE = 1 << 25
"""An image of more pixels is segmented and written band by band, by itself."""


MAX_PROBABILITIES = 2_000_000_000
"""The bytes that the probabilities of one image may take."""


@contextmanager
def large_images() -> Iterator[None]:
    """Let Pillow open images of up to `MAX_PIXELS` while the block runs.

    Pillow refuses more than 179 megapixels, since a small file of a stranger may unpack to fill the
    memory. Here the user has named the files, and orthomosaics are larger than that.
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None  # `read_picture` has a limit of its own
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


class LargeImage:
    """An image of which parts are converted to 8 bits as they are needed.

    Args:
        path: the file.
        reading: how it is read.

    Attributes:
        size: width and height in pixels, upright.

    Raises:
        DataError: the file cannot be read.
    """

    def __init__(self, path: Path, reading: Reading) -> None:
        self._path, self._reading = path, reading
        self._decoded = decode_large(path, reading)
        self.size = self._decoded.size

    def crop(self, box: tuple[int, int, int, int]) -> AnyImage:
        """The part between left, top, right and bottom."""
        image = self._decoded.image
        if isinstance(image, BandImage):
            return image.crop(box)
        if image is not None:
            return image.crop(box).convert("RGB")
        left, top, right, bottom = box
        return self._deep(self._decoded.deep_values[top:bottom, left:right])

    def whole(self) -> AnyImage:
        """The whole image."""
        image = self._decoded.image
        if image is None or image.mode != "RGB":
            return self.crop((0, 0, *self.size))
        return image

    def reduced(self, step: int) -> AnyImage:
        """The image at a fraction of its size, whose sides are rounded up."""
        image = self._decoded.image
        if image is None:
            return self._deep(self._decoded.deep_values[::step, ::step])
        if isinstance(image, BandImage) or image.mode == "RGB":
            return image.reduce(step)
        size = -(-image.width // step), -(-image.height // step)
        return image.resize(size, Image.Resampling.NEAREST).convert("RGB")

    def empty(self, rows: slice) -> NDArray[np.bool_] | None:
        """`(H, W)`, True where some rows have no data; None if they have data everywhere."""
        decoded = self._decoded
        nodata = nodata_of(self._reading, decoded.nodata)
        if decoded.image is None:
            return find_invalid(decoded.deep_values[rows], nodata)
        if not (nodata and decoded.nodata):
            return None
        return find_invalid(np.asarray(self.crop((0, rows.start, self.size[0], rows.stop))), nodata)

    def _deep(self, values: Values) -> AnyImage:
        return replace(self._decoded, values=values).picture(self._reading, self._path)


def read_large(path: Path, reading: Reading) -> LargeImage:
    """An image of which parts are converted as they are needed, within `large_images`.

    Raises:
        DataError: the file cannot be read, or has more than `MAX_PIXELS`.
    """
    _check_size(path, reading)
    return LargeImage(path, reading)


def read_picture(path: ImageSource, reading: Reading) -> AnyImage:
    """Read an image as `read_image` does, within `large_images`.

    Args:
        path: the file, or the content of one.
        reading: how it is read.

    Raises:
        DataError: the file cannot be read, or has more than `MAX_PIXELS`.
    """
    _check_size(path, reading)
    return read_image(path, reading)


def read_with_empty(path: Path, reading: Reading) -> tuple[AnyImage, NDArray[np.bool_] | None]:
    """Read an image as `read_picture` does, and find the pixels without data.

    Returns:
        The image; and `(H, W)`, True where it has no data, or None if it has data everywhere.

    Raises:
        DataError: as `read_picture`.
    """
    _check_size(path, reading)
    decoded = decode_image(path, reading)
    return decoded.picture(reading, path), decoded.invalid(reading)


def check_probabilities(pixels: int, classes: int, image: object) -> None:
    """Refuse probabilities that would fill the memory.

    Args:
        pixels: of the image.
        classes: their number.
        image: what the image is called.

    Raises:
        DataError: they take more than `MAX_PROBABILITIES`.
    """
    size = 2 * classes * pixels
    if size > MAX_PROBABILITIES:
        raise DataError(
            f"--probabilities would take {size / 1e9:.1f} GB of memory for {image}, and "
            f"{MAX_PROBABILITIES / 1e9:g} GB is the limit.",
            "Leave it out, or use --confidence, which writes one value for each pixel.",
        )


def _check_size(path: ImageSource, reading: Reading) -> None:
    width, height = image_size(path, reading)
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{path} has {width} x {height} pixels, and semiseg reads up to "
            f"{MAX_PIXELS // 1_000_000:,} megapixels.",
            "Cut it into parts, for example with `gdal_retile.py -ps 20000 20000`.",
        )

"""Images of many megapixels: how large one may be, and how it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.reading import Reading
from semiseg.data.formats.images import image_size, read_image

MAX_PIXELS = 2_000_000_000
"""The pixels of an image that `predict` still reads: its own image of 44,000 x 44,000."""
LARGE = 1 << 25
"""An image of more pixels is segmented and written band by band, by itself."""


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


def read_picture(path: Path, reading: Reading) -> Image.Image:
    """Read an image as `read_image` does, within `large_images`.

    Raises:
        DataError: the file cannot be read, or has more than `MAX_PIXELS`.
    """
    width, height = image_size(path, reading)
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{path} has {width} x {height} pixels, and semiseg reads up to "
            f"{MAX_PIXELS // 1_000_000:,} megapixels.",
            "Cut it into parts, for example with `gdal_retile.py -ps 20000 20000`.",
        )
    return read_image(path, reading)

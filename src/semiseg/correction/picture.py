"""The picture of an image that the page shows: RGB of 8 bits, no larger than a browser draws."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from semiseg.core.reading import Reading
from semiseg.inference.large import read_picture

_QUALITY = 95
_MAX_PIXELS = 1 << 26  # a browser holds 4 bytes for each, and a third more for smaller copies
_MAX_SIDE = 16_384  # the longest side that every browser draws
_STRETCHED = (1.0, 99.0)  # the percentiles that become black and white


def jpeg_of(image: Path, reading: Reading, stretched: bool) -> bytes:
    """A JPEG of an image, upright.

    Of several bands it shows those that `reading.shown_channels` names, in the ranges of the
    model's training.

    Args:
        image: the file.
        reading: how it is read.
        stretched: whether the contrast is spread; see `stretch`.

    Raises:
        DataError: the image cannot be read.
    """
    picture = read_picture(image, reading).convert("RGB")
    step = reduction(picture.size)
    if step > 1:
        picture = picture.reduce(step)
    if stretched:
        picture = stretch(picture)
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def reduction(size: tuple[int, int]) -> int:
    """By how much a picture of this size is reduced, so that every browser can draw it.

    Example:
        >>> reduction((6000, 4000)), reduction((20_000, 3000)), reduction((20_000, 20_000))
        (1, 2, 3)
    """
    width, height = size
    by_area = math.ceil(math.sqrt(width * height / _MAX_PIXELS))
    return max(by_area, math.ceil(max(size) / _MAX_SIDE))


def stretch(picture: Image.Image) -> Image.Image:
    """Spread each channel over 0 to 255, all but its darkest and its brightest percent."""
    pixels = np.asarray(picture)
    sample = np.asarray(picture.reduce(max(1, max(picture.size) // 1024)))
    channels = []
    for channel in range(3):
        low, high = np.percentile(sample[..., channel], _STRETCHED)
        steps = (np.arange(256) - low) / max(1.0, high - low)
        table = (steps.clip(0, 1) * 255).round().astype(np.uint8)
        channels.append(table[pixels[..., channel]])
    return Image.fromarray(np.stack(channels, axis=-1))

"""Cuts what the network sees out of an image of any size, scaled."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.augment.working_size import working_size
from semiseg.data.formats.band_image import AnyImage

Images: TypeAlias = NDArray[np.uint8]
Window: TypeAlias = tuple[slice, slice]
"""Rows and columns of the scaled image."""


def to_array(picture: AnyImage, size: int) -> Images:
    """A picture as `(1, N, h, w)` uint8, its short side scaled to `size` pixels."""
    target = working_size(picture.size, size)
    if target != picture.size:
        picture = picture.resize(target, Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1)[None])


class Croppable(Protocol):
    """An image of which parts can be had, in RGB or in other bands."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""

    def crop(self, box: tuple[int, int, int, int], /) -> AnyImage:
        """The part between left, top, right and bottom."""


class ScaledImage(NamedTuple):
    """An image at another size, of which only windows are computed.

    Attributes:
        picture: the image; a Pillow image must be in RGB.
        size: height and width `(h, w)` of the scaled image.
    """

    picture: Croppable
    size: tuple[int, int]

    def view(self, window: Window, scale: float = 1.0) -> Images:
        """A window `(1, N, h, w)`: the same pixels that scaling the whole image would give.

        Args:
            window: rows and columns of the scaled image.
            scale: a further factor on the size of the window.
        """
        (y0, y1, rows), (x0, x1, columns) = (
            _axis(part, whole, length, scale)
            for part, whole, length in zip(window, self.size, self.picture.size[::-1], strict=True)
        )
        box = math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)
        part = self.picture.crop(box)
        inner = x0 - box[0], y0 - box[1], x1 - box[0], y1 - box[1]
        target = columns.length, rows.length
        if target != part.size:
            part = part.resize(target, Image.Resampling.BILINEAR, inner)
        pixels = np.asarray(part)[rows.inner, columns.inner]
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


class _Cut(NamedTuple):
    """The pixels of a resampled part along an axis, and those of them that are wanted."""

    length: int
    inner: slice


def _axis(part: slice, whole: int, length: int, scale: float) -> tuple[float, float, _Cut]:
    """The start and the end of a window in the image, with a margin for the filter.

    Args:
        part: of the scaled image.
        whole: pixels of the scaled image.
        length: pixels of the image.
        scale: a further factor on the size of the window.
    """
    count = max(1, round((part.stop - part.start) * scale))
    start, stop = part.start * length / whole, part.stop * length / whole
    step = (stop - start) / count  # pixels of the image for one of the view
    if step == 1:
        return start, stop, _Cut(count, slice(0, count))
    margin = math.ceil(max(1, 1 / step)) + 1
    before = min(margin, int(start / step))
    after = min(margin, int((length - stop) / step))
    first, last = start - before * step, stop + after * step
    cut = _Cut(before + count + after, slice(before, before + count))
    return max(0.0, first), min(float(length), last), cut

"""Images of any number of bands, with those methods of a Pillow image that semiseg uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box: TypeAlias = tuple[float, float, float, float]


class BandImage:
    """An image of bands of 8 bits.

    Args:
        pixels: `(H, W, N)` uint8.
        shown: the positions of the three bands that a picture shows as red, green and blue.

    Example:
        >>> image = BandImage(np.zeros((4, 6, 5), np.uint8), (2, 1, 0))
        >>> image.resize((3, 2)).size, image.convert("RGB").mode
        ((3, 2), 'RGB')
    """

    mode = "bands"

    def __init__(self, pixels: NDArray[np.uint8], shown: tuple[int, int, int]) -> None:
        self.pixels, self.shown = pixels, shown

    @property
    def bands(self) -> int:
        """The number of bands."""
        return int(self.pixels.shape[2])

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: ANN401
        """The pixels `(H, W, N)`."""
        return np.array(self.pixels, dtype=dtype, copy=copy)

    def tobytes(self) -> bytes:
        """The bytes of the pixels, row by row, band by band of each pixel."""
        return self.pixels.tobytes()

    def crop(self, box: tuple[int, int, int, int]) -> BandImage:
        """The part between left, top, right and bottom; beyond the image, pixels are 0."""
        left, top, right, bottom = box
        inside = slice(max(0, top), max(0, bottom)), slice(max(0, left), max(0, right))
        part = self.pixels[inside]
        if part.shape[:2] != (bottom - top, right - left):
            canvas = np.zeros((bottom - top, right - left, self.bands), np.uint8)
            y, x = max(0, -top), max(0, -left)
            canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
            part = canvas
        return BandImage(part, self.shown)

    def resize(
        self,
        size: tuple[int, int],
        resample: Image.Resampling = Image.Resampling.BICUBIC,
        box: Box | None = None,
        reducing_gap: float | None = None,
    ) -> BandImage:
        """The image at another size, each band as Pillow resizes a gray image.

        Args:
            size: width and height in pixels.
            resample: the filter.
            box: the part that is resized; None for all of it.
            reducing_gap: as for Pillow.
        """
        return self._each(lambda band: band.resize(size, resample, box, reducing_gap))

    def reduce(self, factor: int) -> BandImage:
        """The image at a fraction of its size, whose sides are rounded up."""
        return self._each(lambda band: band.reduce(factor))

    def convert(self, mode: str) -> Image.Image:
        """The picture of the bands that are shown.

        Args:
            mode: of the picture, such as `RGB` or `L`.
        """
        picture = Image.fromarray(np.ascontiguousarray(self.pixels[..., list(self.shown)]))
        return picture.convert(mode)

    def _each(self, change: Callable[[Image.Image], Image.Image]) -> BandImage:
        changed = [
            np.asarray(change(Image.fromarray(np.ascontiguousarray(self.pixels[..., band]))))
            for band in range(self.bands)
        ]
        return BandImage(np.stack(changed, axis=-1), self.shown)


AnyImage: TypeAlias = Image.Image | BandImage
"""An image as semiseg reads it: RGB, or any other number of bands."""

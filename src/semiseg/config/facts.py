"""What the rules of the plan start from: facts about the data and the device, and the pace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from semiseg.core.reading import Reading

if TYPE_CHECKING:  # the help must not wait for numpy
    from semiseg.core.types import Likeness


class Facts(NamedTuple):
    """The data and the device.

    Attributes:
        side: the median short side, in pixels, of the images that have masks, hidden or not.
        labeled: the number of labeled images.
        unlabeled: the number of unlabeled images that the method uses.
        validation_images: the images that one validation reads: those of `val`, and the sample of
            the diagnostics.
        pixels: the pixels of each class in the labeled images, by the class's name.
        likeness: how similar unlabeled and labeled images are; None if it was not computed.
        device: `cpu`, `cuda` or `mps`.
        world: the number of devices that train together.
        reading: how the images are read, with the values that those of more than 8 bits span.
        val: the number of images of `val`.
        patch: the side in pixels of a patch of the encoder, if it is a plain vision transformer;
            None for an encoder with maps of several strides.
    """

    side: float
    labeled: int
    unlabeled: int
    validation_images: int
    pixels: Mapping[str, int]
    likeness: Likeness | None
    device: str
    world: int
    reading: Reading
    val: int
    patch: int | None = None


class Line(NamedTuple):
    """A quantity that grows with the number of pixels: `fixed + per_pixel * pixels`."""

    fixed: float
    per_pixel: float

    @classmethod
    def through(cls, *points: tuple[float, float]) -> Line:
        """The line through the first and the last `(pixels, value)`, with no part below 0."""
        (x0, y0), (x1, y1) = points[0], points[-1]
        per_pixel = (y1 - y0) / (x1 - x0) if x1 > x0 else 0.0
        fixed = y1 - per_pixel * x1
        return cls(fixed, per_pixel) if per_pixel > 0 and fixed >= 0 else cls(0.0, y1 / x1)

    def at(self, pixels: float) -> float:
        """The value for this number of pixels."""
        return self.fixed + self.per_pixel * pixels


class Pace(NamedTuple):
    """The measured speed of a method on a machine.

    Attributes:
        step: the seconds of a micro batch, by labeled images times crop squared.
        validation: the seconds that a validation takes for one image, by size squared.
        max_pixels: the pixels (labeled images times crop squared) that fit into the memory.
        spent: the seconds that reading the data and measuring took.
    """

    step: Line
    validation: Line
    max_pixels: float
    spent: float

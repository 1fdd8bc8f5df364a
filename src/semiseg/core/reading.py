"""How image files are read: the settings that travel from the data to the model and back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """How the pixels of image files become RGB of 8 bits; see `read_image`.

    A model keeps it, so that it reads new images as those of its training.

    Attributes:
        value_range: the values that become black and white in images of more than 8 bits; None for
            the ends of each image's own type.
        bands: the numbers, from 1 on, of the three bands that become red, green and blue, or of one
            band; None for images that need no choice.
        nodata: the values that mark pixels without data; None for those that a file itself names.
            Not-a-number marks such pixels, too.
    """

    value_range: tuple[float, float] | None = None
    bands: tuple[int, ...] | None = None
    nodata: tuple[float, ...] | None = None


AS_STORED = Reading()
"""semiseg chooses and scales only what a file itself asks for."""

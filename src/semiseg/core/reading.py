"""How image files are read: the settings that travel from the data to the model and back."""

from __future__ import annotations

from dataclasses import dataclass

RGB_CHANNELS = 3


@dataclass(frozen=True)
class Reading:
    """How the pixels of image files become RGB, or other bands, of 8 bits; see `read_image`.

    A model keeps it, so that it reads new images as those of its training.

    Attributes:
        value_range: the values that become black and white in images of more than 8 bits; None for
            the ends of each image's own type.
        bands: the numbers, from 1 on, of the bands that form an image. Three become red, green and
            blue, and one becomes gray. None for images that need no choice.
        nodata: the values that mark pixels without data; None for those that a file itself names.
            Not-a-number marks such pixels, too.
        ranges: the values that become 0 and 255 in each of the `bands`. None where one
            `value_range` holds for all of them.
        rgb: the numbers of the bands that a picture shows as red, green and blue, if a person or
            the files name them.
        axes: the axes of stacks of pages, such as `CYX`, where `C` numbers the bands of an image;
            None for those that a file itself names.
    """

    value_range: tuple[float, float] | None = None
    bands: tuple[int, ...] | None = None
    nodata: tuple[float, ...] | None = None
    ranges: tuple[tuple[float, float], ...] | None = None
    rgb: tuple[int, int, int] | None = None
    axes: str | None = None

    @property
    def channels(self) -> int:
        """The number of channels of an image: 3, unless two or more than three bands form it."""
        return RGB_CHANNELS if self.bands is None or len(self.bands) == 1 else len(self.bands)

    @property
    def color_channels(self) -> tuple[int, int, int] | None:
        """The positions of red, green and blue among the channels; None if nobody named them."""
        if self.channels == RGB_CHANNELS:
            return 0, 1, 2
        if self.bands is None or self.rgb is None or not set(self.rgb) <= set(self.bands):
            return None
        red, green, blue = (self.bands.index(number) for number in self.rgb)
        return red, green, blue

    @property
    def shown_channels(self) -> tuple[int, int, int]:
        """The positions of the channels that a picture shows as red, green and blue.

        These are the `color_channels`, or the first channels where nobody named the colors.
        """
        last = self.channels - 1
        return self.color_channels or (0, min(1, last), min(2, last))


AS_STORED = Reading()
"""semiseg chooses and scales only what a file itself asks for."""

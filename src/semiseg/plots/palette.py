"""The colors of all pictures: Okabe and Ito's palette, and what to do where it is too small.

People with any kind of color vision tell the eight colors of Okabe and Ito apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from semiseg.data.formats.codes import Color
from semiseg.data.formats.masks import Classes, default_color

BLACK: Color = (0, 0, 0)
ORANGE: Color = (230, 159, 0)
SKY_BLUE: Color = (86, 180, 233)
GREEN: Color = (0, 158, 115)
YELLOW: Color = (240, 228, 66)
BLUE: Color = (0, 114, 178)
VERMILION: Color = (213, 94, 0)
PURPLE: Color = (204, 121, 167)

CLASS_COLORS = (ORANGE, SKY_BLUE, GREEN, YELLOW, BLUE, VERMILION, PURPLE, BLACK)
"""The colors of classes in the report, where eight are enough."""
LINE_COLORS = (BLACK, ORANGE, BLUE, GREEN, VERMILION, PURPLE)
"""The colors of lines; yellow and sky blue are too light on white paper."""
IGNORED_GRAY = 210
"""The gray value of ignored pixels in a map of classes."""

_MIN_CONTRAST = 48  # a smaller sum of differences in R, G and B is hard to see
_HEAT = ((13, 8, 135), (156, 23, 158), (237, 121, 83), (240, 249, 33))  # from 0 to 1


def css_color(color: Color) -> str:
    """A color as style sheets and matplotlib write it, such as `#0072b2`."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def distinct_colors(colors: Sequence[Color]) -> Sequence[Color]:
    """The colors themselves, or default colors if two of them look alike."""
    similar = any(
        sum(abs(a - b) for a, b in zip(one, other, strict=True)) < _MIN_CONTRAST
        for one, other in itertools.combinations(colors, 2)
    )
    return [default_color(i) for i in range(len(colors))] if similar else colors


def accessible_colors(classes: Classes) -> tuple[Sequence[Color], bool]:
    """The colors of the classes in the report, and whether all people can tell them apart."""
    own = set(classes.colors)
    if len(own) == len(classes) and own <= set(CLASS_COLORS):
        return classes.colors, True
    if len(classes) <= len(CLASS_COLORS):
        return CLASS_COLORS[: len(classes)], True
    return distinct_colors(classes.colors), False


def heat_colors(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colors `(H, W, 3)` of values `(H, W)` in 0..1: dark is 0, light is 1."""
    stops = np.linspace(0, 1, len(_HEAT))
    channels = [np.interp(values, stops, [color[i] for color in _HEAT]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)

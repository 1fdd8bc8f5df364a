"""Maps of classes, errors and reliability as pictures, by themselves or over the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import maximum_filter

from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.codes import Color
from semiseg.plots.legend import stripes
from semiseg.plots.palette import IGNORED_GRAY, ORANGE, VERMILION

_OPACITY = 0.5
_TINT, _LINE = 0.25, 0.9  # the opacity of a class inside of its regions, and of their contours
_LINES_PER_SIDE = 400  # a contour is this part of the short side wide, and a pixel at least
_FADE = 0.55  # how far the image below errors fades to white


def color_map(mask: NDArray[np.uint8], colors: Sequence[Color]) -> Image.Image:
    """Class indices `(H, W)` as a palette image in the classes' colors; ignored pixels are gray."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(colors)] = colors
    palette[IGNORE_INDEX] = IGNORED_GRAY
    picture = Image.fromarray(mask)
    picture.putpalette(palette.tobytes())
    return picture


def overlay(image: Image.Image, mask: NDArray[np.uint8], colors: Sequence[Color]) -> Image.Image:
    """The image with the contours of the classes, and a light tint of their colors inside.

    The image shows unchanged where the mask is 255 and where the color is black. Many tools draw
    the background in black, which would only darken the image.

    Args:
        image: RGB; the mask is scaled to its size.
        mask: `(H, W)` class indices.
        colors: of the classes.
    """
    width = max(1, round(min(mask.shape) / _LINES_PER_SIDE))
    opacity = np.where(contours(mask, width), np.uint8(255 * _LINE), np.uint8(255 * _TINT))
    return _covered(image, mask, colors, opacity)


def half_cover(image: Image.Image, mask: NDArray[np.uint8], colors: Sequence[Color]) -> Image.Image:
    """The image under the classes' colors, half and half: for small pictures, without contours.

    Args:
        image: as for `overlay`, and bare in the same places.
        mask: as for `overlay`.
        colors: as for `overlay`.
    """
    return _covered(image, mask, colors, np.full(mask.shape, round(255 * _OPACITY), np.uint8))


def contours(mask: NDArray[np.uint8], width: int = 1) -> NDArray[np.bool_]:
    """The pixels near another value, on both sides of each border.

    Args:
        mask: `(H, W)`.
        width: of a contour on each side of a border, in pixels.

    Returns:
        `(H, W)`. The edge of the image is no contour.
    """
    near = np.zeros(mask.shape, np.uint8)
    for axis in (0, 1):
        values, marks = np.moveaxis(mask, axis, 0), np.moveaxis(near, axis, 0)
        differs = values[1:] != values[:-1]
        marks[1:] |= differs
        marks[:-1] |= differs
    if width > 1:
        near = maximum_filter(near, 2 * width - 1, mode="constant")
    return near.astype(bool)


def _covered(
    image: Image.Image,
    mask: NDArray[np.uint8],
    colors: Sequence[Color],
    opacity: NDArray[np.uint8],
) -> Image.Image:
    """The image under the classes' colors; `opacity` is `(H, W)`, where 255 hides the image."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(colors)] = colors
    is_bare = table.max(axis=1) == 0
    is_bare[IGNORE_INDEX] = True
    cover = _scaled(np.where(is_bare[mask], np.uint8(0), opacity), image.size)
    return Image.composite(_scaled(table[mask], image.size), image, cover)


def hatch_ignored(image: Image.Image, mask: NDArray[np.uint8]) -> Image.Image:
    """The image with stripes where the mask is 255."""
    ignored = np.asarray(_scaled((mask == IGNORE_INDEX).astype(np.uint8) * 255, image.size)) > 127
    striped = Image.blend(image, stripes(image.size), _OPACITY)
    hatched = image.copy()
    hatched.paste(striped, mask=Image.fromarray(ignored))
    return hatched


def draw_errors(
    image: Image.Image,
    truth: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    color: Color = VERMILION,
) -> Image.Image:
    """The image in pale gray, with wrong pixels in one strong color.

    Args:
        image: RGB, of the size of the masks.
        truth: `(H, W)` class indices, 255 where unknown.
        prediction: `(H, W)` class indices.
        color: of wrong pixels.
    """
    gray = image.convert("L").convert("RGB")
    values = np.array(Image.blend(gray, Image.new("RGB", image.size, "white"), _FADE))
    values[(truth != prediction) & (truth != IGNORE_INDEX)] = color
    return Image.fromarray(values)


def draw_reliability(
    certainty: NDArray[np.float32], disagreement: NDArray[np.bool_] | None
) -> Image.Image:
    """Certainty from black (0) to white (1), and orange where the two spaces disagree.

    Args:
        certainty: `(H, W)` in 0..1.
        disagreement: `(H, W)`, or None for a model without prototypes.
    """
    gray = (certainty * 255).astype(np.uint8)
    values = np.stack([gray] * 3, axis=-1)
    if disagreement is not None:
        values[disagreement] = ORANGE
    return Image.fromarray(values)


def _scaled(values: NDArray[np.uint8], size: tuple[int, int]) -> Image.Image:
    """An array as an image of another size; one that shrinks is averaged."""
    picture = Image.fromarray(values)
    if picture.size == size:
        return picture
    smaller = size[0] < picture.width
    return picture.resize(size, Image.Resampling.BOX if smaller else Image.Resampling.NEAREST)

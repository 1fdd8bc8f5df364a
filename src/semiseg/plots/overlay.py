"""Maps of classes, errors and reliability as pictures, by themselves or over the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.codes import Color
from semiseg.plots.legend import stripes
from semiseg.plots.palette import IGNORED_GRAY, ORANGE, VERMILION

_OPACITY = 0.5
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
    """The image under the classes' colors, half and half.

    The image shows unchanged where the mask is 255 and where the color is black. Many tools draw
    the background in black, which would only darken the image.

    Args:
        image: RGB; the mask is scaled to its size.
        mask: `(H, W)` class indices.
        colors: of the classes.
    """
    table = np.zeros((256, 3), np.uint8)
    table[: len(colors)] = colors
    bare = np.where(table.max(axis=1) > 0, np.uint8(0), np.uint8(255))
    bare[IGNORE_INDEX] = 255
    blended = Image.blend(image, _scaled(table[mask], image.size), _OPACITY)
    blended.paste(image, mask=_scaled(bare[mask], image.size))
    return blended


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

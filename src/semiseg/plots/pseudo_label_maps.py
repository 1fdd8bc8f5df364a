"""A picture of one unlabeled image: the labels and indicators of both spaces, and the target."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.masks import Classes
from semiseg.plots.legend import GAP, INK, LINE, PAPER, draw_legend, load_font, shorten, stripes
from semiseg.plots.palette import BLUE, ORANGE, distinct_colors, heat_colors

_TILE_WIDTH = 240
_NEITHER, _UNKNOWN = (160, 0, 40), (90, 90, 90)


class PseudoLabelMaps(NamedTuple):
    """One unlabeled image with the labels of both spaces; all maps have the size of the image.

    Attributes:
        name: the name of the image.
        image: `(H, W, 3)` uint8.
        truth: `(H, W)` class indices, or None where there is no mask.
        logit_label: `(H, W)` class indices.
        confidence: `(H, W)` in 0..1.
        representation_label: `(H, W)` class indices, or None.
        similarity: `(H, W)` in 0..1, or None.
        pseudo_label: `(H, W)` class indices; 255 where a pixel is not used.
    """

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.int64] | None
    logit_label: NDArray[np.int64]
    confidence: NDArray[np.float32]
    representation_label: NDArray[np.int64] | None
    similarity: NDArray[np.float32] | None
    pseudo_label: NDArray[np.int64]


def draw_pseudo_label_maps(maps: PseudoLabelMaps, classes: Classes) -> Image.Image:
    """Draw the image, the truth, both labels, both indicators, and the pseudo-label."""
    class_colors = [tuple(map(int, color)) for color in distinct_colors(classes.colors)]
    colors = np.array(class_colors, dtype=np.uint8)
    columns = [
        [
            ("image", Image.fromarray(maps.image)),
            ("truth", _label_map(maps.truth, colors)),
        ],
        [
            ("logit label", _label_map(maps.logit_label, colors)),
            ("confidence", _indicator_map(maps.confidence)),
        ],
        [
            ("nearest prototype", _label_map(maps.representation_label, colors)),
            ("similarity", _indicator_map(maps.similarity)),
        ],
        [
            ("pseudo-label", _label_map(maps.pseudo_label, colors)),
            ("disagreement", _disagreement_map(maps)),
        ],
    ]
    height = round(_TILE_WIDTH * maps.image.shape[0] / maps.image.shape[1])
    step = (_TILE_WIDTH + GAP, height + LINE)
    labels = (
        maps.truth,
        maps.logit_label,
        maps.representation_label,
        maps.pseudo_label,
    )
    indices = {int(i) for label in labels if label is not None for i in np.unique(label)}
    width, legend_top = 4 * step[0] + GAP, LINE + 2 * step[1] + GAP
    legend = draw_legend(indices, classes, [(r, g, b) for r, g, b in class_colors], width)
    picture = Image.new("RGB", (width, legend_top + legend.height), PAPER)
    picture.paste(legend, (0, legend_top))
    draw, font = ImageDraw.Draw(picture), load_font()
    draw.text((GAP, 2), shorten(maps.name, font, width - 2 * GAP), INK, font)
    for column, tiles in enumerate(columns):
        present = [(title, tile) for title, tile in tiles if tile is not None]
        for row, (title, tile) in enumerate(present):
            x, y = GAP + column * step[0], LINE + row * step[1]
            draw.text((x, y + 2), title, INK, font)
            shrinks = tile.width > _TILE_WIDTH
            resampling = Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST
            picture.paste(tile.resize((_TILE_WIDTH, height), resampling), (x, y + LINE))
    return picture


def _label_map(label: NDArray[np.int64] | None, colors: NDArray[np.uint8]) -> Image.Image | None:
    """Class indices in the classes' colors, with stripes where there is no label."""
    if label is None:
        return None
    values = np.array(stripes((label.shape[1], label.shape[0])))
    labeled = label != IGNORE_INDEX
    values[labeled] = colors[label[labeled]]
    return Image.fromarray(values)


def _indicator_map(indicator: NDArray[np.float32] | None) -> Image.Image | None:
    return None if indicator is None else Image.fromarray(heat_colors(indicator))


def _disagreement_map(maps: PseudoLabelMaps) -> Image.Image | None:
    """White where both spaces agree; elsewhere the color says which of them is right.

    Blue: logit space. Orange: the nearest prototype. Red: neither. Gray: the truth is unknown.
    """
    if maps.representation_label is None:
        return None
    values = np.full(maps.image.shape, 255, np.uint8)
    disagreement = maps.logit_label != maps.representation_label
    values[disagreement] = _UNKNOWN
    if maps.truth is not None:
        scored = disagreement & (maps.truth != IGNORE_INDEX)
        values[scored] = _NEITHER
        values[scored & (maps.logit_label == maps.truth)] = BLUE
        values[scored & (maps.representation_label == maps.truth)] = ORANGE
    return Image.fromarray(values)
